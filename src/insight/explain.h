/* explain.h - the policy in force and how it came about, decision by decision, for people and as JSON. */
#ifndef HAK_EXPLAIN_H
#define HAK_EXPLAIN_H

/* Both write to `fd` and allocate nothing. At most one thread at a time gets the decisions; another one gets the
 * policy only. */
void explain_print(int fd);
void explain_json(int fd);

#endif
