
# All goals of docs/performance.md in one table.
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Bench::Table;

use strict;
use warnings FATAL => 'all';

use NeonAuth::Bench;
use NeonAuth::Bench::Cached;
use NeonAuth::Bench::Changes;
use NeonAuth::Bench::Flight;
use NeonAuth::Bench::Memory;
use NeonAuth::Bench::Refresh;
use NeonAuth::Bench::Setup;

sub run
{
	set_up();
	measure_refreshes();
	measure_changes();
	measure_cached();
	measure_flight();
	measure_memory();
	print_results();
	write_json('bench', json_results());
	tear_down();
	return;
}

1;
