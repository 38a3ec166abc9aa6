/**
 * Format VHDX (MS-VHDX, Virtual Hard Disk v2): fixed, dynamic and differencing disks. {@link
 * dev.ferry.image.vhdx.VhdxImage} is one file; {@code VhdxLayout} says where everything lies in it; a {@link
 * dev.ferry.image.sparse.DeltaChain} makes a disk of one and its parents. {@link dev.ferry.image.vhdx.VhdxCreator} makes one,
 * {@code GrowingBlocks} gives new blocks a place, {@code GrowingSectors} those of a differencing one. {@link
 * dev.ferry.image.vhdx.VhdxResizer} changes the size of one. {@code VhdxLog} reads the log of one that was not closed properly.
 */
@NullMarked
package dev.ferry.image.vhdx;

import org.jspecify.annotations.NullMarked;
