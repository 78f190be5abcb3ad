;; Work for Guile: lists, hash tables, strings, big numbers.
;; SPDX-License-Identifier: MIT
(use-modules (srfi srfi-1) (ice-9 regex))
(define table (make-hash-table))
(do ((i 0 (+ i 1))) ((= i 200000))
  (hash-set! table (modulo (* i 7919) 10000) (cons i (hash-ref table (modulo (* i 7919) 10000) '()))))
(define texts (map (lambda (i)
                     (string-append "text " (number->string (modulo (* i 7919) 1000)) (make-string (modulo i 50) #\x)))
                   (iota 50000)))
(display (hash-fold (lambda (key value sum) (+ sum (length value))) 0 table)) (newline)
(display (string-length (string-join (sort texts string<?) ","))) (newline)
(display (modulo (fold * 1 (iota 3000 1)) (- (expt 2 89) 2))) (newline)
(display (length (filter (lambda (text) (string-match "7+x" text)) (take texts 10000)))) (newline)
(display (vector-length (list->vector (append-map (lambda (i) (make-list 100 i)) (iota 5000))))) (newline)
