/**
 * Dirty bitmaps of the daemon's disks. {@link dev.ferry.server.bitmaps.Bitmaps} has those of all disks: it has a disk's
 * {@link dev.ferry.filter.tracking.Tracker} mark in them while clients may have the disk ({@link
 * dev.ferry.server.bitmaps.Recording}), and keeps them in a {@link dev.ferry.server.bitmaps.BitmapFile} for each disk
 * otherwise. Control plane; calls block.
 */
@NullMarked
package dev.ferry.server.bitmaps;

import org.jspecify.annotations.NullMarked;
