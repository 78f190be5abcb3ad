/* modules.h - the files that the program's code lies in, for a record that is a file: whoever reads it when the process
 * is gone has nothing else to find names by. */
#ifndef HAK_MODULES_H
#define HAK_MODULES_H

/* Now and then, if the record is a file: enters the files of stacks that came since. Any thread; one at a time does. */
void modules_look(void);

/* In the child of a fork: no other thread looks. */
void modules_after_fork(void);

#endif
