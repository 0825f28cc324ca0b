# Perl's DBD::mysql and DBD::MariaDB.
use strict;
use warnings;
use DBI;

my ($driver) = @ARGV;
# Debian's DBD::mysql cannot insist on TLS with the library that it is built with: it comes by the socket.
my $place = $driver eq 'mysql'
    ? "mysql_socket=$ENV{G_SOCKET}"
    : "host=$ENV{G_HOST};port=$ENV{G_PORT};mariadb_ssl=1;mariadb_ssl_ca_file=$ENV{G_CA}";
my $db = DBI->connect(
    "DBI:$driver:database=shop;$place",
    $ENV{G_USER}, $ENV{G_TOKEN}, { RaiseError => 1, PrintError => 0 }
);
sub seen { ($db->selectrow_array('SELECT status FROM orders WHERE id = ?', undef, $ENV{G_ID}))[0] }
sub change { $db->do('UPDATE orders SET status = ? WHERE id = ?', undef, $ENV{G_MARK}, $ENV{G_ID}) }
print "read:" . seen() . "\n";
eval { change(); 1 } or print "refused:" . $db->err . ":" . $db->errstr . "\n";
$db->do("CALL safeconsole.elevate('clients', 'OPS-1', 'shop')");
change();
print "saw:" . seen() . "\n";
$db->disconnect;
