/* Conversations: text files of what a client sends and must be answered.
 *
 *   # comment           ignored, as are empty lines
 *   C: SET a b          send the line as an inline command
 *   R: *1\r\n$4\r\n...  send these bytes; \r \n \t \0 \\ \xHH are known
 *   S: +OK              the next line of the answer is exactly this
 *   S: "bar"            the next thing is this bulk string (same escapes)
 *   S~ :1?              the next line matches this pattern (* and ?)
 *   N:                  go on with a new connection
 *   E:                  the server closes the connection
 *
 * Lines of the answer are taken in order; whatever is left over at the end of the file
 * is a failure. */
#ifndef KV_TEST_SERVER_CONVERSATION_H
#define KV_TEST_SERVER_CONVERSATION_H

#include "lab.h"

/* Fails the running case with file and line of the first difference. */
void conversation_run(struct lab *lab, const char *path);

#endif
