# Work for Tcl: lists, dictionaries, strings, regular expressions, interpreters.
# SPDX-License-Identifier: MIT
proc work {} {
    set words {}
    for {set i 0} {$i < 20000} {incr i} {
        lappend words "word [expr {$i * 7919 % 1000}] [string repeat x [expr {$i % 40}]]"
        dict lappend table [expr {$i % 500}] $i
    }
    set sorted [lsort -dictionary $words]
    set count 0
    foreach word $sorted {
        if {[regexp {(\d+) (x+)} $word -> number tail]} { incr count [expr {$number + [string length $tail]}] }
    }
    set sum 0
    dict for {key values} $table { incr sum [llength $values] }
    set inner [interp create]
    set nested [$inner eval {
        set n 0
        for {set i 0} {$i < 20000} {incr i} { append s $i; incr n [string length $s] }
        set n
    }]
    interp delete $inner
    return "$count $sum $nested [string length [join $sorted ,]]"
}
for {set round 0} {$round < [lindex $argv 0]} {incr round} { set result [work] }
puts $result
