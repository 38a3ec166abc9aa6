/**
 * What a request costs in the layers themselves, without a kernel: JMH benchmarks, whose figure of interest is the
 * allocation rate, which has to be zero.
 */
@NullMarked
package dev.ferry.bench.micro;

import org.jspecify.annotations.NullMarked;
