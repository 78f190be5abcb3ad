# Work for perl: hashes, strings, regular expressions, sorting, closures, references, fork, threads.
# SPDX-License-Identifier: MIT
use strict;
use warnings;
use Config;
use Digest::SHA qw(sha256_hex);

my $scale = shift;
my $state = 12345;

sub random_next {
    my ($limit) = @_;
    $state = ($state * 1103515245 + 12345) % 2147483648;
    return int($state / 8) % $limit;
}

my %table;
for my $i (1 .. 500 * $scale) {
    my $key = "key" . random_next(100 * $scale);
    push @{ $table{$key} }, { number => $i, text => "x" x random_next(200) };
    delete $table{ "key" . random_next(100 * $scale) } if $i % 5 == 0;
}
my @keys = sort { @{ $table{$b} } <=> @{ $table{$a} } or $a cmp $b } keys %table;
my @records = map { "$_->{number}=" . length($_->{text}) } map { @{ $table{$_} } } @keys;
print "table ", scalar(@keys), " $keys[0] ", sha256_hex(join ",", @records), "\n";

my @words = map { sprintf "%05d:%s", $_, chr(97 + random_next(26)) x (1 + random_next(12)) } 1 .. 300 * $scale;
my $text = join " ", @words;
my %count;
$count{ length $1 }++ while $text =~ /:(\w+)/g;
(my $changed = $text) =~ s/(\d+):(\w)(\w*)/uc($2) . $1 . reverse($3)/ge;
my $counts = join ",", map { "$_=$count{$_}" } sort { $a <=> $b } keys %count;
print "text ", length($text), " $counts ", sha256_hex($changed), "\n";

my @closures = map { my $n = $_; my @held = (0 .. $n % 50); sub { $n + @held + shift } } 1 .. 100 * $scale;
my $sum = 0;
$sum += $_->(1) for @closures;
print "closures $sum\n";

my $grown = "";
$grown .= pack("N", $_) for 1 .. 2000 * $scale;
substr($grown, random_next(length $grown), 1, "abc") for 1 .. 20;
print "grown ", length($grown), " ", sha256_hex($grown), "\n";

for my $child (1 .. 4) {
    open(my $pipe, "-|") // die "fork: $!" or do {
        my @list = map { "child $child " . $_ x 20 } 1 .. 20 * $scale;
        print sha256_hex(join "\n", sort @list), "\n";
        exit 0;
    };
    print "fork $child ", <$pipe>;
    close $pipe or die "child $child: $?";
}

if ($Config{useithreads}) {
    require threads;
    my @threads = map {
        my $me = $_;
        threads->create(sub {
            my %own = map { $_ => "v" x ($_ % 100) } 1 .. 50 * $scale;
            return join ",", $me, map { length } @own{ 1 .. 10 };
        });
    } 1 .. 4;
    print "thread ", $_->join, "\n" for @threads;
}
