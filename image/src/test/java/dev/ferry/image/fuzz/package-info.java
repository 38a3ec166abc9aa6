/**
 * What a fuzzer runs on files of images: each class takes bytes that mean ill, as a file, and throws if they have done harm.
 * {@code ./trial fuzz} runs them under Jazzer; {@code ImageFuzzTest} for a moment, in every build.
 */
@NullMarked
package dev.ferry.image.fuzz;

import org.jspecify.annotations.NullMarked;
