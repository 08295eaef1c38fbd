/*
 * clerk.test.mjs
 *		Does the simulator speak as Clerk does?  Clerk's own SDK must be able to
 *		use it and must recognise its errors.
 *
 * Run against a simulator with at least 25 users that nothing else uses:
 *		SIM_URL=http://127.0.0.1:PORT SIM_KEY=sk_test_x node --test
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { createClerkClient } from '@clerk/backend';
import { isClerkAPIResponseError } from '@clerk/backend/errors';

const apiUrl = process.env.SIM_URL;
const { users } = createClerkClient({ secretKey: process.env.SIM_KEY, apiUrl });

function isApiError(status, code) {
	return (error) => {
		assert.ok(isClerkAPIResponseError(error), `unexpected ${error}`);
		assert.equal(error.status, status);
		assert.equal(error.errors[0].code, code);
		assert.ok(error.clerkTraceId);
		return true;
	};
}

async function control(method, path, body) {
	const reply = await fetch(`${apiUrl}/_sim/${path}`,
		{ method, body: body && JSON.stringify(body) });

	assert.ok(reply.ok, `${method} ${path}: ${reply.status}`);
	return reply.json();
}

test('list with paging', async () => {
	const seen = new Set();
	const limit = 10;
	let last = Infinity;

	for (let offset = 0; offset < 20; offset += limit) {
		const { data, totalCount } =
			await users.getUserList({ limit, offset, orderBy: '-created_at' });

		assert.equal(data.length, limit);
		assert.equal(totalCount, await users.getCount());
		for (const user of data) {
			assert.match(user.id, /^user_[0-9A-Za-z]{27}$/);
			assert.ok(user.createdAt <= last);
			assert.ok(user.updatedAt >= user.createdAt);
			last = user.createdAt;
			seen.add(user.id);
		}
	}
	assert.equal(seen.size, 20);
});

test('order with an explicit plus sign', async () => {
	const { data } = await users.getUserList({ limit: 2, orderBy: '+created_at' });
	const first = await control('GET', 'users/index/0');

	assert.equal(data[0].id, first.id);
});

test('filters by id and e-mail', async () => {
	const { data } = await users.getUserList({ limit: 25 });
	const user = data.find((u) => u.primaryEmailAddress);
	const address = user.primaryEmailAddress.emailAddress;
	const byId = await users.getUserList({ userId: [user.id, data[0].id] });
	const byEmail = await users.getUserList({ emailAddress: [address] });

	assert.equal(byId.totalCount, new Set([user.id, data[0].id]).size);
	assert.deepEqual(byEmail.data.map((u) => u.id), [user.id]);
	assert.equal(await users.getCount({ emailAddress: [address] }), 1);
});

test('get one user', async () => {
	const { id } = await control('GET', 'users/index/3');
	const user = await users.getUser(id);

	assert.equal(user.id, id);
	assert.equal(user.raw.object, 'user');
	if (user.primaryEmailAddressId)
		assert.ok(user.primaryEmailAddress.id);
});

test('an unknown user is 404 resource_not_found', async () => {
	await assert.rejects(users.getUser('user_000000000000000000000000000'),
		isApiError(404, 'resource_not_found'));
});

test('a wrong key is 401 clerk_key_invalid', async () => {
	const wrong = createClerkClient({ secretKey: 'sk_test_wrong', apiUrl });

	await assert.rejects(wrong.users.getCount(),
		isApiError(401, 'clerk_key_invalid'));
});

test('bad parameters are 422', async () => {
	await assert.rejects(users.getUserList({ limit: 501 }),
		isApiError(422, 'form_param_value_invalid'));
	await assert.rejects(users.getUserList({ orderBy: 'shoe_size' }),
		isApiError(422, 'form_param_value_invalid'));
});

test('what is not simulated is 501', async () => {
	await assert.rejects(users.getUserList({ query: 'ada' }),
		isApiError(501, 'not_simulated'));
});

test('a rate limit carries Retry-After', async () => {
	await control('POST', 'fault', { match: 'get', status: 429, headers: { 'Retry-After': '7' } });
	await assert.rejects(users.getUser('user_any'), (error) => {
		assert.equal(error.status, 429);
		assert.equal(error.retryAfter, 7);
		return true;
	});
});

test('create, update and delete', async () => {
	const before = await users.getCount();
	const created = await users.createUser({
		firstName: 'Zoë',
		lastName: 'O"Neil',
		emailAddress: ['zoe@sdk.example', 'second@sdk.example'],
		skipPasswordRequirement: true,
	});

	assert.equal(created.primaryEmailAddress.emailAddress, 'zoe@sdk.example');
	assert.equal(created.emailAddresses.length, 2);
	assert.equal(await users.getCount(), before + 1);
	await assert.rejects(users.createUser({ emailAddress: ['zoe@sdk.example'] }),
		isApiError(422, 'form_identifier_exists'));

	const updated = await users.updateUser(created.id, { firstName: 'Zora' });

	assert.equal(updated.firstName, 'Zora');
	assert.equal(updated.lastName, 'O"Neil');
	assert.ok(updated.updatedAt > created.updatedAt);

	const { data } = await users.getUserList({ limit: 1, orderBy: '-updated_at' });

	assert.equal(data[0].id, created.id);

	const deleted = await users.deleteUser(created.id);

	assert.equal(deleted.id, created.id);
	assert.equal(deleted.deleted, true);
	await assert.rejects(users.getUser(created.id),
		isApiError(404, 'resource_not_found'));
	assert.equal(await users.getCount(), before);
});
