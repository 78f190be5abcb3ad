;;; Work for Emacs: buffers, regular expressions, lists, text properties, org tables. -*- lexical-binding: t -*-
;; SPDX-License-Identifier: MIT
(with-temp-buffer
  (insert-file-contents "text")
  (goto-char (point-min))
  (while (re-search-forward "\\b\\([a-z]\\)\\([a-z]+\\)" nil t)
    (replace-match "\\2\\1" t))
  (sort-lines nil (point-min) (point-max))
  (put-text-property 1 1000 'face 'bold)
  (message "%s" (secure-hash 'sha256 (current-buffer))))
(let ((table (make-hash-table :test #'equal)))
  (dotimes (i 200000)
    (push i (gethash (format "key %d" (mod (* i 7919) 1000)) table)))
  (message "%d" (apply #'+ (mapcar (lambda (key) (length (gethash (format "key %d" key) table)))
                              (number-sequence 0 999)))))
(with-temp-buffer
  (require 'org)
  (dotimes (i 500)
    (insert (format "* Heading %d\n| a | %d |\n|---+---|\n| b | %d |\n" i i (* i i))))
  (org-mode)
  (org-table-map-tables #'org-table-align t)
  (message "%s" (secure-hash 'sha256 (buffer-string))))
