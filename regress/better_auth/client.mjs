// Changes the users of a Better Auth server through its own HTTP API, for the demo and the tests.
//
//   BETTER_AUTH_URL=http://127.0.0.1:PORT BETTER_AUTH_TOKEN=... node client.mjs COMMAND ARGUMENT...
//
// A user is named by id or e-mail address. Prints the users concerned as JSON, one a line; fails with the server's
// answer on standard error. Uses nothing but Node, so it needs no installed package.
//
// Copyright (c) 2026, neon_auth_fdw contributors

const BASE = `${process.env.BETTER_AUTH_URL}/api/auth`;
const PAGE = 1000;

async function request(method, path, body) {
  // Node's fetch says "sec-fetch-mode: cors", and Better Auth refuses such a sign-up without an origin.
  const headers = { origin: process.env.BETTER_AUTH_URL, authorization: `Bearer ${process.env.BETTER_AUTH_TOKEN ?? ""}` };
  if (body) headers["content-type"] = "application/json";
  const reply = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${text}`);
  return JSON.parse(text);
}

const get = (path, parameters = {}) => request("GET", `${path}?${new URLSearchParams(parameters)}`);
const post = (path, body) => request("POST", path, body);

function only(listing, what) {
  if (listing.users.length !== 1) throw new Error(`${what}: ${listing.users.length} users`);
  return listing.users[0];
}

async function find(key) {
  if (!key.includes("@")) return get("/admin/get-user", { id: key });
  const filter = { filterField: "email", filterOperator: "eq", filterValue: key };
  return only(await get("/admin/list-users", { limit: 2, ...filter }), key);
}

async function byId(path, key, more = {}) {
  const { id } = await find(key);
  await post(path, { userId: id, ...more });
  return get("/admin/get-user", { id });
}

async function* list() {
  for (let offset = 0; ; offset += PAGE) {
    const page = await get("/admin/list-users", { limit: PAGE, offset, sortBy: "id", sortDirection: "asc" });
    yield* page.users;
    if (offset + PAGE >= page.total) return;
  }
}

async function* createMany(count, prefix) {
  for (let i = 1; i <= Number(count); i++) {
    yield (await post("/admin/create-user", { email: `${prefix}${i}@example.com`, name: `${prefix} ${i}` })).user;
  }
}

const COMMANDS = {
  "sign-up": {
    usage: "NAME EMAIL",
    run: async (name, email) => (await post("/sign-up/email", { name, email, password: "loopback-only" })).user,
  },
  create: {
    usage: "NAME EMAIL",
    run: async (name, email) => (await post("/admin/create-user", { name, email })).user,
  },
  "create-many": { usage: "COUNT PREFIX", run: createMany },
  rename: { usage: "USER NAME", run: (key, name) => byId("/admin/update-user", key, { data: { name } }) },
  ban: { usage: "USER", run: (key) => byId("/admin/ban-user", key) },
  unban: { usage: "USER", run: (key) => byId("/admin/unban-user", key) },
  remove: {
    usage: "USER",
    run: async (key) => {
      const user = await find(key);
      await post("/admin/remove-user", { userId: user.id });
      return user;
    },
  },
  get: { usage: "USER", run: find },
  list: { usage: "", run: list },
};

function usage() {
  const lines = Object.entries(COMMANDS).map(([name, command]) => `  ${name} ${command.usage}`);
  return `usage: client.mjs COMMAND ARGUMENT...\n${lines.join("\n")}`;
}

async function main([name, ...args]) {
  const command = Object.hasOwn(COMMANDS, name ?? "") ? COMMANDS[name] : undefined;
  if (!command || args.length !== command.usage.split(" ").filter(Boolean).length) throw new Error(usage());
  const result = await command.run(...args);
  const users = Symbol.asyncIterator in result ? result : [result];
  for await (const user of users) console.log(JSON.stringify(user));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
