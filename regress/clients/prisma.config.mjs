/*
 * prisma.config.mjs
 *		Has Prisma introspect through node-postgres, with the engine of its npm
 *		package: no program is fetched.  The server is that of PGHOST and so on.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 */
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';

const CHAR = 18;
const NAME = 19;

/* The adapter does not know two types of PostgreSQL's catalogs, which the engine reads: for it they are these. */
const knownTypes = { [CHAR]: pg.types.builtins.BPCHAR, [NAME]: pg.types.builtins.TEXT };

class CatalogPool extends pg.Pool {
	async query(...args) {
		const result = await super.query(...args);

		for (const field of result.fields ?? [])
			field.dataTypeID = knownTypes[field.dataTypeID] ?? field.dataTypeID;
		return result;
	}
}

export default {
	schema: process.env.PRISMA_SCHEMA,
	engine: 'js',
	experimental: { adapter: true },
	adapter: async () => new PrismaPg(new CatalogPool({ allowExitOnIdle: true })),
};
