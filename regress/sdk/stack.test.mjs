/*
 * stack.test.mjs
 *		Does the simulator speak as Stack Auth (Hexclave) does?  Its own SDK must
 *		be able to use it and must recognise its errors.
 *
 * Run against a simulator with at least 30 users that nothing else uses, started
 * with --set cursor=excluded --set page_cap=50, as the SDK is of the newer kind:
 *		STACK_URL=http://127.0.0.1:PORT SIM_KEY=sk_test_x node --test stack.test.mjs
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { StackServerApp } from '@stackframe/js';

const baseUrl = process.env.STACK_URL;
const projectId = '11111111-2222-4333-8444-555555555555';
const nobody = '00000000-0000-4000-8000-000000000000';

function connect(options = {}) {
	return new StackServerApp({
		projectId,
		publishableClientKey: 'pck_x',
		secretServerKey: process.env.SIM_KEY,
		baseUrl,
		tokenStore: 'memory',
		...options,
	});
}

const app = connect();

async function control(method, path, body) {
	const reply = await fetch(`${baseUrl}/_sim/${path}`,
		{ method, body: body && JSON.stringify(body) });

	assert.ok(reply.ok, `${method} ${path}: ${reply.status}`);
	return reply.json();
}

/* As the SDK asks, but without what it makes of the answer. */
function ask(target, headers = {}) {
	return fetch(`${baseUrl}/api/v1/users${target}`, {
		headers: {
			'X-Hexclave-Access-Type': 'server',
			'X-Hexclave-Project-Id': projectId,
			'X-Hexclave-Secret-Server-Key': process.env.SIM_KEY,
			...headers,
		},
	});
}

/* All users, with these options of listUsers. */
async function listAll(options) {
	const all = [];
	let cursor;

	do {
		const page = await app.listUsers({ ...options, cursor });

		assert.ok(page.length > 0 && page.length <= options.limit);
		all.push(...page);
		cursor = page.nextCursor;
	} while (cursor);
	return all;
}

function isKnownError(code, status) {
	return (error) => {
		assert.equal(error.errorCode, code, `unexpected ${error}`);
		assert.equal(error.statusCode, status);
		return true;
	};
}

test('list with paging, in both directions', async () => {
	const { users } = await control('GET', 'stats');
	const oldest = await listAll({ limit: 7, orderBy: 'signedUpAt', includeAnonymous: true });
	const newest = await listAll({ limit: 11, orderBy: 'signedUpAt', desc: true, includeAnonymous: true });

	assert.equal(oldest.length, users);
	assert.equal(new Set(oldest.map((u) => u.id)).size, users);
	for (let i = 1; i < oldest.length; i++)
		assert.ok(oldest[i - 1].signedUpAt < oldest[i].signedUpAt ||
			(oldest[i - 1].signedUpAt.getTime() === oldest[i].signedUpAt.getTime() && oldest[i - 1].id < oldest[i].id));
	assert.deepEqual(newest.map((u) => u.id).reverse(), oldest.map((u) => u.id));
});

test('a cursor whose user is gone: an empty page that says it is the last', async () => {
	const page = await app.listUsers({ limit: 5, includeAnonymous: true });

	await control('DELETE', `users/${page.nextCursor}`);
	const lost = await app.listUsers({ limit: 5, includeAnonymous: true, cursor: page.nextCursor });

	assert.equal(lost.length, 0);
	assert.equal(lost.nextCursor, null);
});

test('get one user', async () => {
	const { id } = await control('GET', 'users/index/20');
	const user = await app.getUser(id);

	assert.equal(user.id, id);
	assert.equal((await app.getUser(id.toUpperCase())).id, id);
	assert.ok(user.signedUpAt instanceof Date && user.lastActiveAt instanceof Date);
	assert.equal(user.isRestricted, false);
});

test('an unknown user is null, by 404 USER_NOT_FOUND behind status 200', async () => {
	assert.equal(await app.getUser(nobody), null);
	const reply = await ask(`/${nobody}`, { 'X-Hexclave-Override-Error-Status': 'true' });

	assert.equal(reply.status, 200);
	assert.equal(reply.headers.get('x-hexclave-actual-status'), '404');
	assert.equal(reply.headers.get('x-hexclave-known-error'), 'USER_NOT_FOUND');
	assert.equal((await reply.json()).code, 'USER_NOT_FOUND');
});

test('restricted and anonymous users', async () => {
	const { id: restricted } = await control('GET', 'users/index/21');
	const { id: anonymous } = await control('GET', 'users/index/22');
	const has = async (options) => {
		const ids = (await listAll({ limit: 50, ...options })).map((u) => u.id);

		return [ids.includes(restricted), ids.includes(anonymous)];
	};

	await control('POST', 'users/index/21/update', { state: 'restricted' });
	await control('POST', 'users/index/22/update', { state: 'anonymous' });
	assert.deepEqual(await has({}), [false, false]);
	assert.deepEqual(await has({ includeRestricted: true }), [true, false]);
	assert.deepEqual(await has({ includeAnonymous: true }), [true, true]);
	assert.equal((await app.getUser(restricted)).restrictedReason.type, 'restricted_by_administrator');
	assert.equal((await app.getUser(anonymous)).isAnonymous, true);
});

test('a query finds parts of names and addresses', async () => {
	const { id } = await control('POST', 'users', { name: 'Zoë O"Neil', email: ['zoe@sdk.example', 'Second@sdk.example'] });
	const find = async (query) => (await app.listUsers({ limit: 50, query })).map((u) => u.id);

	assert.deepEqual(await find('zoe@sdk.example'), [id]);
	assert.deepEqual(await find('second@SDK.example'), [id]);
	assert.deepEqual(await find('O"neil'), [id]);
	assert.deepEqual(await find(id), [id]);
	assert.deepEqual(await find('nobody@sdk.example'), []);
});

test('wrong credentials', async () => {
	await assert.rejects(connect({ secretServerKey: 'ssk_wrong' }).listUsers({ limit: 1 }),
		isKnownError('INVALID_SECRET_SERVER_KEY', 401));
	await assert.rejects(connect({ projectId: nobody }).listUsers({ limit: 1 }),
		isKnownError('CURRENT_PROJECT_NOT_FOUND', 400));
});

test('bad parameters', async () => {
	await assert.rejects(app.listUsers({ limit: 51 }), isKnownError('SCHEMA_ERROR', 400));
	await assert.rejects(app.listUsers({ cursor: 'x' }), isKnownError('SCHEMA_ERROR', 400));
	await assert.rejects(app.listUsers(), /requires a limit/);
	const reply = await ask('?limit=1&only_anonymous=true');

	assert.equal(reply.status, 400);
	assert.match(await reply.text(), /^only_anonymous=true requires/);
});

test('a rate limit, with Retry-After and without', async () => {
	const { id } = await control('GET', 'users/index/3');

	await control('POST', 'fault', { match: 'get', status: 429, times: 2 });
	assert.equal((await app.getUser(id)).id, id);
	assert.equal((await control('GET', 'stats')).faults, 2);
});
