# Parses lines of a web server's log and counts requests, bytes and errors by path.
use strict;
use warnings;

my (%requests, %bytes, @errors);
while (my $line = <DATA>) {
    chomp $line;
    my ($host, $method, $path, $status, $size) =
        $line =~ m{^(\S+) \S+ \S+ \[[^\]]+\] "(\w+) ([^ ?"]+)[^"]*" (\d{3}) (\d+|-)$}
        or do { print "cannot read: $line\n"; next };
    $requests{$path}++;
    $bytes{$path} += $size eq '-' ? 0 : $size;
    push @errors, "$status $method $path from $host" if $status >= 400;
}
for my $path (sort { $requests{$b} <=> $requests{$a} || $a cmp $b } keys %requests) {
    printf "%-12s %d requests %6d bytes\n", $path, $requests{$path}, $bytes{$path};
}
print "$_\n" for @errors;

__DATA__
10.0.0.1 - - [01/Mar/2025:10:00:00 +0000] "GET /index.html HTTP/1.1" 200 5120
10.0.0.2 - - [01/Mar/2025:10:00:01 +0000] "GET /search?q=perl HTTP/1.1" 200 880
10.0.0.1 - - [01/Mar/2025:10:00:02 +0000] "POST /login HTTP/1.1" 403 120
not a log line
10.0.0.3 - - [01/Mar/2025:10:00:03 +0000] "GET /search?q=regex HTTP/1.1" 200 910
10.0.0.3 - - [01/Mar/2025:10:00:04 +0000] "GET /index.html HTTP/1.1" 304 -
10.0.0.2 - - [01/Mar/2025:10:00:05 +0000] "GET /search?q=cpan HTTP/1.1" 500 64
