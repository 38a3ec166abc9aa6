/**
 * The {@code ferry} command. {@link dev.ferry.cli.Ferry} finds the command that is meant and runs it; each file {@code
 * …Commands} holds one family of them. They speak REST to the daemon; only the one-shot tools and the demonstration
 * touch bytes themselves. {@link dev.ferry.cli.Screen} is what people see: colours and moving lines where there is a
 * terminal, plain text where there is none.
 */
@NullMarked
package dev.ferry.cli;

import org.jspecify.annotations.NullMarked;
