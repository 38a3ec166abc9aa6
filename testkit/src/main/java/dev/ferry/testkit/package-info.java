/**
 * What tests stand on. {@link dev.ferry.testkit.SimLoop} is a world in virtual time, {@link dev.ferry.testkit.SimDisk} a
 * disk in it that behaves as badly as disks may, both from one seed; {@link dev.ferry.testkit.MemoryDisk} is one that
 * does nothing unexpected. {@link dev.ferry.testkit.BlockDeviceContract} is the test of every device, filter and format.
 * {@link dev.ferry.testkit.Seeds} names the seed of a failure, {@link dev.ferry.testkit.Requires} what a machine lacks.
 * {@link dev.ferry.testkit.LoopMount} is a file system of its own for a test, {@link dev.ferry.testkit.SmallDisk} one that can be
 * filled; {@link dev.ferry.testkit.Stranger} runs programs that others wrote.
 */
@NullMarked
package dev.ferry.testkit;

import org.jspecify.annotations.NullMarked;
