/**
 * The one noun of Ferry and what belongs to it.
 *
 * <p>Every layer between a guest and its bytes is a {@link dev.ferry.block.BlockDevice}. Start there, then read
 * {@link dev.ferry.block.Completion} (how a request ends), {@link dev.ferry.block.BlockError} (how it fails), {@link
 * dev.ferry.block.IoBuffer} and {@link dev.ferry.block.BufferPool} (where its bytes are), {@link
 * dev.ferry.block.Loop} (the thread that it runs on), {@link dev.ferry.block.CheckedDevice} (the boundary that every
 * hop crosses) and {@link dev.ferry.block.FilterDevice} (a layer over one other).
 */
@NullMarked
package dev.ferry.block;

import org.jspecify.annotations.NullMarked;
