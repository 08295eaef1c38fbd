
# A provider's replies as files, served by nginx: as fast as bytes can come.  What was
# not asked for before is asked of the simulator, once, and kept; so a first round makes
# the files of all that follow, and nobody has to know what the extension asks for.
# Authorization is not looked at, and nothing may change at the provider meanwhile.
#
#	my $pages = start_pages($sim);
#	add_server($node, $pages, name => 'clerk');
#	$pages->save_listing;                 # all users, page by page
#	... $pages->urls, $pages->files ...   # of these
#
# It can also stand before a simulator and refuse what is more than a plan allows:
#
#	my $limited = start_limited($sim, 10, 100);
#
# nginx is the one of `make bench`, which has it unpacked, not installed (NAUTH_WORK).
#
# Copyright (c) 2026, neon_auth_fdw contributors

package NeonAuth::Pages;

use strict;
use warnings FATAL => 'all';

use Exporter 'import';
use File::Path qw(rmtree);
use HTTP::Tiny;
use NeonAuth::Test qw(start_process);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;

our @EXPORT = qw(start_pages start_limited);
our @ISA = ('NeonAuth::Test::Provider');

# Users of a page, which is the most that Clerk gives.
my $page_size = 500;

# What is asked for by the same URL comes from the same file.
my $from_files = <<'CONF';
		location / {
			try_files $uri/_$args @provider;
		}
		location @provider {
			proxy_pass http://provider;
			proxy_http_version 1.1;
			proxy_set_header Accept-Encoding '';
			proxy_max_temp_file_size 1024m;
			proxy_store FOLDER/pages$uri/_$args;
			proxy_store_access user:rw;
		}
CONF

# Requests above the limit get status 429, and each provider's word for when to ask again.
my $limited = <<'CONF';
		location / {
			limit_req zone=plan burst=BURST nodelay;
			limit_req_status 429;
			error_page 429 @busy;
			proxy_pass http://provider;
			proxy_http_version 1.1;
			proxy_set_header Connection '';
		}
		location @busy {
			add_header Retry-After 1 always;
			add_header X-RateLimit-Reset $reset always;
			return 429;
		}
CONF

sub configuration
{
	my ($folder, $port, $behind, $rate, $locations) = @_;

	return <<"CONF";
worker_processes 1;
events { worker_connections 512; }
http {
	access_log off;
	default_type application/json;
	sendfile on;
	tcp_nopush on;
	keepalive_requests 10000000;
	open_file_cache max=20000 inactive=1h;
	open_file_cache_valid 1h;
	client_body_temp_path $folder/temp/body;
	proxy_temp_path $folder/temp/proxy;
	fastcgi_temp_path $folder/temp/fastcgi;
	uwsgi_temp_path $folder/temp/uwsgi;
	scgi_temp_path $folder/temp/scgi;
	limit_req_zone \$server_port zone=plan:1m rate=${rate}r/s;
	map \$msec \$reset { "~^(?<seconds>\\d+)" \$seconds; }
	upstream provider {
		server $behind;
		keepalive 16;
	}
	server {
		listen 127.0.0.1:$port;
		root $folder/pages;
$locations
	}
}
CONF
}

sub start_nginx
{
	my ($sim, $rate, $locations) = @_;
	my $nginx = ($ENV{NAUTH_WORK} // '') . '/unpacked/usr/sbin/nginx';
	my $folder = PostgreSQL::Test::Utils::tempdir();
	my $port = PostgreSQL::Test::Cluster::get_free_port();

	mkdir("$folder/$_") for qw(pages temp);
	$locations =~ s/FOLDER/$folder/;
	append_to_file("$folder/nginx.conf", configuration($folder, $port, '127.0.0.1:' . $sim->port, $rate, $locations));
	my ($pid) = start_process('nginx', $nginx, '-p', $folder, '-e', "$folder/error.log", '-c', "$folder/nginx.conf",
		'-g', 'daemon off; pid FILE;');
	return bless { pid => $pid, port => $port, folder => $folder, provider => $sim->provider, key => $sim->key,
		arguments => [] }, __PACKAGE__;
}

sub start_pages { my ($sim) = @_; return start_nginx($sim, 1, $from_files); }

# The simulator behind a limit of so many requests a second, and at first so many at once.
sub start_limited
{
	my ($sim, $rate, $burst) = @_;

	return start_nginx($sim, $rate, $limited =~ s/BURST/$burst/r);
}

# ---- What it can do

sub page_url { my ($self, $arguments) = @_; return $self->url . "/v1/users?$arguments"; }

# Asks for all pages of the listing in order of creation, each by the id of the last user
# of the one before; with that, they are files.  Returns how many bytes they have.
sub save_listing
{
	my ($self) = @_;
	my $client = HTTP::Tiny->new(default_headers => { Authorization => "Bearer $self->{key}" }, timeout => 60);
	my ($last, $full, $bytes) = ('', 1, 0);

	while ($full)
	{
		my $arguments = "limit=$page_size&order_by=created_at" . ($last ne '' ? "&starting_after=$last" : '');
		my $reply = $client->get($self->page_url($arguments));

		die "nginx: $reply->{status} $reply->{content}" unless $reply->{success};
		my @ids = $reply->{content} =~ /\{"id":"(user_\w+)"/g;
		push @{ $self->{arguments} }, $arguments;
		$bytes += length $reply->{content};
		($last, $full) = ($ids[-1], @ids == $page_size);
	}
	return $bytes;
}

# Removes all files.
sub remove { my ($self) = @_; return rmtree("$self->{folder}/pages"); }

sub urls { my ($self) = @_; return map { $self->page_url($_) } @{ $self->{arguments} }; }
sub files { my ($self) = @_; return map { "$self->{folder}/pages/v1/users/_$_" } @{ $self->{arguments} }; }

1;
