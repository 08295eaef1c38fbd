/*
 * clients.test.mjs
 *		Does an application that was written for Neon Auth work unchanged?  The
 *		helper usersSync of Drizzle, node-postgres, and what Neon's documentation
 *		tells to do with users_sync.
 *
 * Run by regress/t/100_clients.pl, on a database with a full neon_auth.users_sync
 * of a server "clerk" that notifies (PGHOST, PGPORT, PGDATABASE):
 *		node --test --test-reporter=tap clients.test.mjs
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { and, asc, count, eq, isNull } from 'drizzle-orm';
import { usersSync } from 'drizzle-orm/neon';
import { drizzle } from 'drizzle-orm/node-postgres';
import { pgTable, serial, text } from 'drizzle-orm/pg-core';
import pg from 'pg';

const todos = pgTable('todos', {
	id: serial().primaryKey(),
	task: text().notNull(),
	ownerId: text('owner_id').notNull().references(() => usersSync.id),
});

const pool = new pg.Pool({ max: 2 });
const db = drizzle(pool);
let first;
let gone;

before(async () => {
	await pool.query('CREATE TABLE todos (id serial PRIMARY KEY, task text NOT NULL, owner_id text NOT NULL REFERENCES neon_auth.users_sync (id))');
	[first] = (await pool.query('SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NULL ORDER BY created_at, id LIMIT 1')).rows;
	[gone] = (await pool.query('SELECT * FROM neon_auth.users_sync WHERE deleted_at IS NOT NULL')).rows;
});

after(() => pool.end());

// ---- Drizzle

test('usersSync reads all columns', async () => {
	const [user] = await db.select().from(usersSync).where(eq(usersSync.id, first.id));

	assert.deepEqual(Object.keys(user).sort(), ['createdAt', 'deletedAt', 'email', 'id', 'name', 'rawJson', 'updatedAt']);
	assert.equal(user.name, first.name);
	assert.equal(user.email, first.email);
	assert.equal(user.rawJson.id, first.id);
	assert.equal(typeof user.createdAt, 'string');
	assert.equal(new Date(user.createdAt).getTime(), first.created_at.getTime());
	assert.equal(new Date(user.updatedAt).getTime(), first.updated_at.getTime());
	assert.equal(user.deletedAt, null);
});

test('who is deleted is told apart', async () => {
	const [{ live }] = await db.select({ live: count() }).from(usersSync).where(isNull(usersSync.deletedAt));
	const [{ all }] = await db.select({ all: count() }).from(usersSync);

	assert.equal(all - live, 1);
	assert.ok(gone.deleted_at instanceof Date);
});

test('a table of the application refers to it and is joined with it', async () => {
	const tasks = ['Buy milk', 'Write tests'];

	await db.insert(todos).values(tasks.map((task) => ({ task, ownerId: first.id })));
	await db.insert(todos).values({ task: 'Left behind', ownerId: gone.id });
	const rows = await db
		.select({ task: todos.task, owner: { id: usersSync.id, email: usersSync.email } })
		.from(todos)
		.leftJoin(usersSync, and(eq(todos.ownerId, usersSync.id), isNull(usersSync.deletedAt)))
		.orderBy(asc(todos.id));
	const owner = { id: first.id, email: first.email };

	assert.deepEqual(rows, [...tasks.map((task) => ({ task, owner })), { task: 'Left behind', owner: null }]);
});

test('an unknown user is refused by the foreign key', async () => {
	await assert.rejects(db.insert(todos).values({ task: 'Nobody', ownerId: 'nobody' }),
		(error) => (error.cause ?? error).code === '23503');
});

// ---- node-postgres

test('the foreign table answers a query with parameters', async () => {
	const { rows } = await pool.query('SELECT id, name, raw_json, created_at FROM app.users WHERE id = $1', [first.id]);

	assert.equal(rows.length, 1);
	assert.equal(rows[0].raw_json.id, first.id);
	assert.equal(rows[0].created_at.getTime(), first.created_at.getTime());
});

test('a refresh reports, and tells who listens', async () => {
	const client = await pool.connect();
	const told = new Promise((resolve) => client.once('notification', resolve));

	try {
		await client.query('LISTEN neon_auth_users_sync');
		await pool.query("DELETE FROM neon_auth.users_sync WHERE id NOT IN (SELECT owner_id FROM todos)");
		const { rows: [report] } = await pool.query("CALL neon_auth.refresh_users_sync('clerk', mode => 'full')");

		assert.equal(report.status, 'ok');
		assert.ok(Number(report.inserted) > 0);
		assert.equal((await told).channel, 'neon_auth_users_sync');
	}
	finally {
		client.release(true);
	}
});

// ---- Neon's documentation: https://neon.com/docs/auth/legacy/database-integration

test('the statements of Neon\'s documentation run as they stand', async () => {
	const client = await pool.connect();

	try {
		await client.query('DROP TABLE todos');
		await client.query(`CREATE TABLE todos (
    id SERIAL PRIMARY KEY,
    task TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES neon_auth.users_sync(id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ DEFAULT CURRENT_TIMESTAMP
)`);
		await client.query('CREATE TABLE posts (id serial PRIMARY KEY, author_id text REFERENCES neon_auth.users_sync (id) ON DELETE SET NULL)');
		await client.query(`INSERT INTO todos (task, user_id)
VALUES ('Buy groceries', '${first.id}')`);
		await client.query('INSERT INTO posts (author_id) VALUES ($1)', [first.id]);
		const todo = await client.query(`SELECT
    t.task,
    u.name as user_name,
    u.email as user_email
FROM todos t
JOIN neon_auth.users_sync u ON t.user_id = u.id
WHERE u.deleted_at IS NULL`);
		const post = await client.query(`SELECT posts.*, neon_auth.users_sync.name as author_name
FROM posts
LEFT JOIN neon_auth.users_sync ON posts.author_id = neon_auth.users_sync.id
WHERE neon_auth.users_sync.deleted_at IS NULL`);

		assert.deepEqual(todo.rows, [{ task: 'Buy groceries', user_name: first.name, user_email: first.email }]);
		assert.equal(post.rows[0].author_name, first.name);
	}
	finally {
		client.release();
	}
});
