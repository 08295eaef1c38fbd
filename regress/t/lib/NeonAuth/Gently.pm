
# Ends servers at the end of a test so that their processes can say what they have
# executed, for `make coverage`: a server that is ended at once loses that.
#
#	PERL5OPT=-MNeonAuth::Gently prove ...
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Gently;

use strict;
use warnings FATAL => 'all';

use PostgreSQL::Test::Cluster;

no warnings 'redefine';
*PostgreSQL::Test::Cluster::teardown_node = sub { my ($self, @how) = @_; $self->stop('fast', @how); };

1;
