/**
 * Format VHD (Virtual Hard Disk image format, version 1.0): fixed, dynamic and differencing disks. {@link
 * dev.ferry.image.vhd.VhdImage} is one file; a {@link dev.ferry.image.sparse.DeltaChain} makes a disk of one and its parents. {@link
 * dev.ferry.image.vhd.VhdCreator} makes one; {@code BlockTable} gives new blocks a place,
 * {@code GrowingSectors} says which sectors of a differencing one are its own. {@link
 * dev.ferry.image.vhd.VhdResizer} changes the size of one.
 */
@NullMarked
package dev.ferry.image.vhd;

import org.jspecify.annotations.NullMarked;
