// A real SCIM 2.0 service on loopback, for the tests: SCIMMY with its routers, and users that are kept in memory. They
// are created, changed and deleted through SCIM itself, under /scim/v2/Users, with the bearer token --key. Once it
// answers it writes its port into the file asked for; SIGTERM ends it.
//
//   POST /control/outage?on=1    from now on the users cannot be read, as if their database were down; on=0 ends that
//   POST /control/config?...     what it says of itself in its ServiceProviderConfig: filter=0 or 1, sort=0 or 1, max=N
//   GET  /control/requests       the requests for /scim/v2 since it was last asked so, one a line
//
// Copyright (c) 2026, neon_auth_fdw contributors

import { randomUUID } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import express from "express";
import SCIMMY from "scimmy";
import SCIMMYRouters from "scimmy-routers";

const { values: flags } = parseArgs({
  options: {
    "port-file": { type: "string" },
    key: { type: "string", default: "scim_test_x" },
  },
});

const users = new Map();
let outage = false;
let requests = [];

function find(id) {
  if (outage) throw new Error("the database is down");
  const user = users.get(id);
  if (!user) throw new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);
  return user;
}

function write(resource, data) {
  const now = new Date().toISOString();
  const old = resource.id && find(resource.id);
  const id = resource.id ?? randomUUID();
  const user = { ...JSON.parse(JSON.stringify(data)), id, meta: { created: old ? old.meta.created : now, lastModified: now } };
  users.set(id, user);
  return user;
}

function read(resource) {
  if (resource.id) return find(resource.id);
  if (outage) throw new Error("the database is down");
  const all = [...users.values()];
  return resource.filter ? resource.filter.match(all) : all;
}

SCIMMY.Resources.declare(SCIMMY.Resources.User)
  .ingress(write)
  .egress(read)
  .degress((resource) => void users.delete(find(resource.id).id));
SCIMMY.Config.set({ filter: { supported: true, maxResults: 1000 }, sort: true, patch: true });

const app = express();
app.post("/control/outage", (request, response) => {
  outage = request.query.on === "1";
  response.status(204).end();
});
app.post("/control/config", (request, response) => {
  const { filter, sort, max } = request.query;
  SCIMMY.Config.set({ filter: { supported: filter === "1", maxResults: Number(max) }, sort: sort === "1" });
  response.status(204).end();
});
app.get("/control/requests", (request, response) => {
  response.type("text/plain").send(requests.map((url) => `${url}\n`).join(""));
  requests = [];
});
app.use("/scim/v2", (request, response, next) => {
  requests.push(request.url);
  next();
});
app.use(
  "/scim/v2",
  new SCIMMYRouters({
    type: "bearer",
    handler: (request) => {
      if (request.header("Authorization") !== `Bearer ${flags.key}`) throw new Error("this token is not valid");
      return "reader";
    },
  }),
);

const server = app.listen(0, "127.0.0.1", () => {
  const file = flags["port-file"];
  if (file === undefined) return;
  // A reader that waits for the file must never see half of it.
  writeFileSync(`${file}.new`, `${server.address().port}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
});

process.once("SIGTERM", () => {
  server.close();
  server.closeAllConnections();
});
