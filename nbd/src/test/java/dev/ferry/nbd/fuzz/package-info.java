/**
 * What a fuzzer runs: each class takes bytes that mean ill and throws if they have done harm. {@code ./trial fuzz} runs them
 * under Jazzer; {@code FuzzTest} for a moment, in every build.
 */
@NullMarked
package dev.ferry.nbd.fuzz;

import org.jspecify.annotations.NullMarked;
