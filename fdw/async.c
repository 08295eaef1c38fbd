/*-------------------------------------------------------------------------
 *
 * async.c
 *	  Scans of an Append that do not wait for each other.
 *
 * The Append asks each scan for a row, and waits for the descriptors of all that
 * have none yet.  Scans of one server have the same descriptor, which may stand
 * there once; when it becomes readable whichever of them can go on does.
 *
 * Copyright (c) 2026, neon_auth_fdw contributors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/execAsync.h"
#include "executor/executor.h"
#include "executor/instrument.h"
#include "foreign/fdwapi.h"
#include "miscadmin.h"
#include "storage/latch.h"

#include "neon_auth_fdw.h"
#include "scan.h"

/* All are: with option max_concurrency 1, scans of one server come in turn. */
bool
neonAuthIsForeignPathAsyncCapable(ForeignPath *path)
{
	return true;
}

/* Answer a request with the next row, with none at the end, or not yet. */
static void
answer(AsyncRequest *areq)
{
	ForeignScanState *node = (ForeignScanState *) areq->requestee;
	NauthScan  *scan = node->fdw_state;
	TupleTableSlot *row = NULL;

	while (!scan->ended && TupIsNull(row) && nauth_scan_start(node))
		row = node->ss.ps.ExecProcNodeReal(&node->ss.ps);
	if (!TupIsNull(row))
		ExecAsyncRequestDone(areq, row);
	else if (scan->ended)
		ExecAsyncRequestDone(areq, NULL);
	else
		ExecAsyncRequestPending(areq);
}

void
neonAuthForeignAsyncRequest(AsyncRequest *areq)
{
	answer(areq);
}

void
neonAuthForeignAsyncNotify(AsyncRequest *areq)
{
	answer(areq);
}

/* Whether an earlier request of the Append waits for this descriptor already. */
static bool
is_waited_for(const AsyncRequest *areq, int fd)
{
	AppendState *append = (AppendState *) areq->requestor;

	for (int i = 0; i < areq->request_index; i++)
	{
		AsyncRequest *other = append->as_asyncrequests[i];

		if (other && other->callback_pending && IsA(other->requestee, ForeignScanState) &&
			((ForeignScanState *) other->requestee)->fdwroutine->ForeignAsyncRequest == neonAuthForeignAsyncRequest &&
			nauth_scan_descriptor((ForeignScanState *) other->requestee) == fd)
			return true;
	}
	return false;
}

void
neonAuthForeignAsyncConfigureWait(AsyncRequest *areq)
{
	ForeignScanState *node = (ForeignScanState *) areq->requestee;
	AppendState *append = (AppendState *) areq->requestor;
	int			fd;

	if (nauth_scan_start(node))
	{
		areq->callback_pending = false;
		answer(areq);
		/* nobody else counts a row that is given here */
		if (areq->requestee->instrument)
			InstrUpdateTupleCount(areq->requestee->instrument, TupIsNull(areq->result) ? 0 : 1);
		ExecAsyncResponse(areq);
	}

	/*
	 * What is there by now needs no wait, not even for the others.  Whoever
	 * looks for its own may have reset the latch.
	 */
	if (append->as_nasyncresults > 0)
		SetLatch(MyLatch);
	if (areq->request_complete)
		return;
	fd = nauth_scan_descriptor(node);
	if (!is_waited_for(areq, fd))
		AddWaitEventToSet(append->as_eventset, WL_SOCKET_READABLE, fd, NULL, areq);
}
