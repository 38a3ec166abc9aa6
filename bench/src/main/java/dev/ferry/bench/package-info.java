/**
 * Ferry beside its peers, in figures: {@code ferry bench}.
 *
 * <p>{@link dev.ferry.bench.Bench} is the command. {@link dev.ferry.bench.ServerBench} compares NBD servers after a {@link
 * dev.ferry.bench.ServerSuite}, {@link dev.ferry.bench.MoveBench} live moves, {@link dev.ferry.bench.CopyBench} copies, {@link
 * dev.ferry.bench.ConvertBench} conversions,
 * {@link dev.ferry.bench.MemoryBench} weighs the daemon. All make {@link dev.ferry.bench.Comparison}s, which a {@link
 * dev.ferry.bench.Report} prints. Everything measured runs as a process of its own, as users start it.
 */
@NullMarked
package dev.ferry.bench;

import org.jspecify.annotations.NullMarked;
