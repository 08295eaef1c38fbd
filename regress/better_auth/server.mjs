// A real Better Auth server on loopback, for the tests and the demo. It keeps its users in the PostgreSQL that the
// usual PGHOST, PGPORT, PGUSER and PGDATABASE name, creates its tables there, and makes one administrator. Once it
// answers it writes its port and the administrator's session token into the files asked for; SIGTERM ends it.
// Its secret and password are worth nothing: never let it listen anywhere but on loopback.
//
// Copyright (c) 2026, neon_auth_fdw contributors

import { randomBytes } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { parseArgs } from "node:util";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import { admin, bearer } from "better-auth/plugins";
import pg from "pg";

const ADMIN = { email: "admin@example.com", name: "Admin", password: "loopback-only" };

const { values: flags } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    "port-file": { type: "string" },
    "token-file": { type: "string" },
    // requests:seconds for each address and path; Better Auth's own default in production is 100:10
    "rate-limit": { type: "string" },
  },
});

// A reader that waits for the file must never see half of it.
function publish(file, text) {
  if (file === undefined) return;
  writeFileSync(`${file}.new`, `${text}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

function rateLimit(text) {
  if (text === undefined) return { enabled: false };
  const [max, window] = text.split(":").map(Number);
  return { enabled: true, max, window };
}

function listen(server, port) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve(server.address().port));
  });
}

async function adminToken(auth) {
  const { email, password } = ADMIN;
  const context = await auth.$context;
  if (!(await context.internalAdapter.findUserByEmail(email))) {
    await auth.api.createUser({ body: { ...ADMIN, role: "admin" } });
  }
  return (await auth.api.signInEmail({ body: { email, password } })).token;
}

const pool = new pg.Pool();
// An idle connection that PostgreSQL closes is replaced at the next query.
pool.on("error", (error) => console.error(`database: ${error.message}`));

let handler = (request, response) => response.writeHead(503).end();
const server = createServer((request, response) => handler(request, response));
const port = await listen(server, Number(flags.port));
const options = {
  baseURL: `http://127.0.0.1:${port}`,
  secret: randomBytes(32).toString("hex"),
  database: pool,
  emailAndPassword: { enabled: true },
  plugins: [admin(), bearer()],
  rateLimit: rateLimit(flags["rate-limit"]),
  telemetry: { enabled: false },
};
await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const token = await adminToken(auth);
handler = toNodeHandler(auth);

process.once("SIGTERM", () => {
  server.close(() => pool.end());
  server.closeAllConnections();
});
publish(flags["token-file"], token);
publish(flags["port-file"], port);
