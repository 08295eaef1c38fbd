/*
 * cognito.test.mjs
 *		Does the simulator speak as Amazon Cognito does?  The SDK of AWS must be able
 *		to use it, its signatures must be taken, and it must recognise the errors.
 *
 * Run against a simulator with 100 users that nothing else uses, started with
 * --set short=17 --set empty=3 --set times=exponent:
 *		COGNITO_URL=http://127.0.0.1:PORT SIM_KEY=sk_test_x node --test cognito.test.mjs
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
	AdminGetUserCommand,
	CognitoIdentityProviderClient,
	CognitoIdentityProviderServiceException,
	ListUsersCommand,
	ResourceNotFoundException,
	TooManyRequestsException,
	UserNotFoundException,
	paginateListUsers,
} from '@aws-sdk/client-cognito-identity-provider';

const endpoint = process.env.COGNITO_URL;
const credentials = { accessKeyId: 'sim_access_key', secretAccessKey: process.env.SIM_KEY };
const UserPoolId = 'eu-central-1_Example01';

function connect(options = {}) {
	return new CognitoIdentityProviderClient({
		endpoint,
		region: 'eu-central-1',
		credentials,
		maxAttempts: 1,
		...options,
	});
}

const client = connect();

async function control(method, path, body) {
	const reply = await fetch(`${endpoint}/_sim/${path}`,
		{ method, body: body && JSON.stringify(body) });

	assert.ok(reply.ok, `${method} ${path}: ${reply.status}`);
	return reply.json();
}

/* The error of this name, as AWS has it. */
function named(name, kind = CognitoIdentityProviderServiceException) {
	return (error) => {
		assert.equal(error.name, name);
		assert.equal(error.$metadata.httpStatusCode, 400);
		assert.match(error.$metadata.requestId, /^00000000-0000-4000-8000-/);
		return error instanceof kind;
	};
}

function attribute(list, name) {
	return list.find((pair) => pair.Name === name)?.Value;
}

test('all users, by its own way to page', async () => {
	const ids = new Set();
	let pages = 0;
	let empty = 0;

	for await (const page of paginateListUsers({ client, pageSize: 60 }, { UserPoolId })) {
		pages++;
		empty += page.Users.length === 0;
		assert.ok(page.Users.length <= 17, 'a page may be short');
		page.Users.forEach((user) => ids.add(user.Username));
	}
	assert.equal(ids.size, 100);
	assert.equal(empty, Math.floor(pages / 3), 'each third page is empty');
});

test('one user is the same as in a list', async () => {
	const { Users: [listed] } = await client.send(new ListUsersCommand({ UserPoolId, Limit: 1 }));
	const user = await client.send(new AdminGetUserCommand({ UserPoolId, Username: listed.Username }));

	assert.equal(user.Username, listed.Username);
	assert.deepEqual(user.UserAttributes, listed.Attributes);
	assert.deepEqual(user.UserCreateDate, listed.UserCreateDate);
	assert.ok(user.UserLastModifiedDate instanceof Date && user.UserLastModifiedDate.getTime() > 1700000000000);
	assert.equal(attribute(user.UserAttributes, 'sub'), user.Username);
});

test('a filter', async () => {
	const { id } = await control('POST', 'users', { id: 'ada', name: 'Ada Lind', email: 'ada@example.com' });
	const { Users } = await client.send(new ListUsersCommand({ UserPoolId, Filter: 'email = "ada@example.com"' }));

	assert.deepEqual(Users.map((user) => user.Username), [id]);
	assert.equal(attribute(Users[0].Attributes, 'email'), 'ada@example.com');
	await control('DELETE', 'users/ada');
	await assert.rejects(client.send(new AdminGetUserCommand({ UserPoolId, Username: 'ada' })), named('UserNotFoundException', UserNotFoundException));
});

test('errors', async () => {
	const ask = (input, options) => connect(options).send(new ListUsersCommand({ UserPoolId, ...input }));

	await assert.rejects(ask({ UserPoolId: 'eu-central-1_Other' }), named('ResourceNotFoundException', ResourceNotFoundException));
	await assert.rejects(ask({ Limit: 61 }), named('InvalidParameterException'));
	await assert.rejects(ask({ PaginationToken: 'x' }), named('InvalidParameterException'));
	await assert.rejects(ask({}, { credentials: { ...credentials, secretAccessKey: 'wrong' } }), named('InvalidSignatureException'));
	await assert.rejects(ask({}, { credentials: { ...credentials, accessKeyId: 'other' } }), named('UnrecognizedClientException'));
	await assert.rejects(ask({}, { credentials: { ...credentials, sessionToken: 'none' } }), named('UnrecognizedClientException'));
	await assert.rejects(ask({}, { region: 'us-east-1' }), named('InvalidSignatureException'));
	await assert.rejects(ask({}, { systemClockOffset: -3600000 }), named('InvalidSignatureException'));
});

test('too many requests', async () => {
	const body = JSON.stringify({ __type: 'TooManyRequestsException', message: 'Too many requests' });
	const busy = (times) => control('POST', 'fault', { match: 'list', times, status: 400, body, headers: { 'x-amzn-RequestId': '00000000-0000-4000-8000-000000000000' } });

	await busy(1);
	await assert.rejects(client.send(new ListUsersCommand({ UserPoolId })), named('TooManyRequestsException', TooManyRequestsException));
	await busy(1);
	const { Users } = await connect({ maxAttempts: 3 }).send(new ListUsersCommand({ UserPoolId, Limit: 5 }));
	assert.equal(Users.length, 5, 'it is tried again');
});
