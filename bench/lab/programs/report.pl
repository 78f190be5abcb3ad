# report.pl FILE ROUNDS - what perl is used for: reads a text, counts and joins with hashes, rewrites it with patterns.
# SPDX-License-Identifier: MIT
use strict;
use warnings;

my ($path, $rounds) = @ARGV;
my $checksum = 0;
for my $round (1 .. $rounds) {
    open my $file, '<', $path or die "$path: $!";
    my (%count, %by_length, @lines);
    while (my $line = <$file>) {
        chomp $line;
        for my $word (split / /, $line) {
            $count{$word}++;
            push @{$by_length{length $word}}, $word if $count{$word} % 16 == 1;
        }
        (my $changed = substr $line, 0, 2000) =~ s/\b(\w)(\w*)/\U$1\E$2/g;
        push @lines, $changed;
    }
    my @most = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 99];
    my $report = join "\n", map { sprintf "%-20s %d", $_, $count{$_} } @most;
    $report .= join ',', map { scalar @{$by_length{$_}} } sort { $a <=> $b } keys %by_length;
    $checksum = ($checksum * 31 + unpack('%32C*', $report) + @lines + length join '', @lines) % 1000003;
}
print "$checksum\n";
