// A user directory as a company writes it for itself, with Feathers, whose REST API is its own: lists with $limit, $skip
// and $sort, filters by members, a total, and errors that say what they are. It listens on loopback, keeps its users in
// memory, and writes its port into the file asked for; SIGTERM ends it. Its token is worth nothing.
//
//   node server.mjs --port-file FILE --users N
//
// Copyright (c) 2026, neon_auth_fdw contributors

import { renameSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import express, { errorHandler, json, rest } from "@feathersjs/express";
import { feathers } from "@feathersjs/feathers";
import { memory } from "@feathersjs/memory";

const { values: flags } = parseArgs({
  options: {
    "port-file": { type: "string" },
    users: { type: "string", default: "0" },
  },
});

const app = express(feathers());

app.use((request, response, next) => {
  if (request.get("X-Api-Key") === "sk_test_x") next();
  else response.status(401).json({ name: "NotAuthenticated", code: 401, className: "not-authenticated" });
});
app.use(json());
app.configure(rest());
app.use("/users", memory({ id: "id", startId: 1, paginate: { default: 10, max: 50 } }));
app.use(errorHandler({ html: false, logger: false }));

// Who creates or changes a user does not say when.
const now = () => new Date().toISOString();
app.service("users").hooks({
  before: {
    create: [async (context) => { context.data = { createdAt: now(), updatedAt: now(), ...context.data }; }],
    patch: [async (context) => { context.data = { ...context.data, updatedAt: now() }; }],
  },
});

for (let i = 1; i <= Number(flags.users); i++) {
  await app.service("users").create({
    firstName: `First${i}`,
    lastName: `Last${i}`,
    email: `user${i}@example.com`,
    password: "$2b$10$abcdefghijklmnopqrstuv",
    createdAt: new Date(Date.now() - 86400000 + i * 300000).toISOString(),
    updatedAt: new Date(Date.now() - 86400000 + i * 300000).toISOString(),
  });
}

const server = await app.listen(0, "127.0.0.1");
await new Promise((resolve) => (server.listening ? resolve() : server.once("listening", resolve)));
const file = flags["port-file"];
writeFileSync(`${file}.new`, `${server.address().port}\n`);
renameSync(`${file}.new`, file);
process.on("SIGTERM", () => process.exit(0));
