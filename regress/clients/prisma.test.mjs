/*
 * prisma.test.mjs
 *		Does Prisma make models of users_sync and of what refers to it, and does
 *		the client that it generates from them read and write?
 *
 * Run by regress/t/102_prisma.pl, on a database with a full neon_auth.users_sync
 * (PGHOST, PGPORT, PGDATABASE):
 *		node --test --test-reporter=tap prisma.test.mjs
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';

const home = fileURLToPath(new URL('.', import.meta.url));
const pool = new pg.Pool({ max: 2 });
/* From PostgreSQL 18 on NOT NULL is a constraint in the catalog, of a kind that Prisma 6 does not know. */
const { rows: [{ known }] } = await pool.query("SELECT current_setting('server_version_num')::int < 180000 AS known");
const testWhereItWorks = known ? test : () => {};
let folder;
let schema;
let first;

/* Prisma asks whether there is a newer version, unless told not to. */
async function prisma(...args) {
	const env = { ...process.env, PRISMA_SCHEMA: schema, CHECKPOINT_DISABLE: '1', PRISMA_HIDE_UPDATE_MESSAGE: '1' };

	await promisify(execFile)(process.execPath, [ join(home, 'node_modules/prisma/build/index.js'), ...args ], { cwd: home, env });
}

before(async () => {
	await pool.query('CREATE TABLE notes (id serial PRIMARY KEY, words text NOT NULL, owner_id text NOT NULL REFERENCES neon_auth.users_sync (id))');
	[first] = (await pool.query('SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT 1')).rows;
	folder = await mkdtemp(join(tmpdir(), 'prisma-'));
	schema = join(folder, 'schema.prisma');
	await writeFile(schema, `generator client {
  provider   = "prisma-client-js"
  engineType = "client"
  output     = "${folder}/client"
}

datasource db {
  provider = "postgresql"
  url      = "postgresql://unused"
  schemas  = ${JSON.stringify(known ? [ 'neon_auth', 'public' ] : [ 'plain' ])}
}
`);
});

after(async () => {
	await rm(folder, { recursive: true });
	await pool.end();
});

if (!known)
	test('prisma db pull fails on any table of this server', async () => {
		await pool.query('CREATE SCHEMA plain; CREATE TABLE plain.people (id int PRIMARY KEY)');
		await assert.rejects(prisma('db', 'pull'), /unreachable/);
	});

testWhereItWorks('prisma db pull makes a model of users_sync', async () => {
	await prisma('db', 'pull');
	const [, model] = /^model users_sync \{\n(.*?)^\}/ms.exec(await readFile(schema, 'utf8'));
	const fields = model.split('\n').map((line) => line.trim().replace(/ +/g, ' ')).filter(Boolean);

	assert.deepEqual(fields, [
		'raw_json Json',
		'id String @id',
		'name String?',
		'email String?',
		'created_at DateTime? @db.Timestamptz(6)',
		'updated_at DateTime? @db.Timestamptz(6)',
		'deleted_at DateTime? @db.Timestamptz(6)',
		'notes notes[]',
		'@@index([deleted_at])',
		'@@schema("neon_auth")',
	]);
});

testWhereItWorks('the client reads users, and what refers to them', async () => {
	await prisma('generate');
	const { PrismaClient } = createRequire(import.meta.url)(join(folder, 'client'));
	const client = new PrismaClient({ adapter: new PrismaPg(pool) });

	try {
		const user = await client.users_sync.findUnique({ where: { id: first.id } });

		assert.deepEqual(user, first);
		await client.notes.create({ data: { words: 'Hello', users_sync: { connect: { id: first.id } } } });
		const [note] = await client.notes.findMany({ include: { users_sync: { select: { email: true } } } });

		assert.deepEqual(note, { id: 1, words: 'Hello', owner_id: first.id, users_sync: { email: first.email } });
		assert.equal(await client.users_sync.count({ where: { deleted_at: null } }), 29);
		await assert.rejects(client.notes.create({ data: { words: 'Nobody', owner_id: 'nobody' } }), { code: 'P2003' });
	}
	finally {
		await client.$disconnect();
	}
});
