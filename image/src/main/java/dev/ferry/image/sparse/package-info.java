/**
 * What the formats of other hypervisors are made of: {@link dev.ferry.image.sparse.SparseExtent}, a part of a disk
 * whose grains lie anywhere in a file, as a {@link dev.ferry.image.sparse.GrainMap} says; {@link
 * dev.ferry.image.sparse.PackedExtent}, one whose grains are compressed; {@link dev.ferry.image.sparse.FlatExtent}, one that
 * lies there as it is; {@link dev.ferry.image.sparse.JoinedExtents}, a disk of such parts. {@link
 * dev.ferry.image.sparse.GrowingExtent} is the sparse one that takes changes, its {@link dev.ferry.image.sparse.GrowingMap} gives
 * new grains a place. In a delta disk {@link
 * dev.ferry.image.sparse.Below} shows through; {@code CopyUp} fills a new grain with what shows there, and {@link
 * dev.ferry.image.sparse.SectorBits} says which sectors are the delta's own. Tables are read through a {@link dev.ferry.image.sparse.TableCache}, so that
 * memory has a bound; further files are opened by {@link dev.ferry.image.sparse.Neighbours}; where
 * disks of a format are one file each, a {@link dev.ferry.image.sparse.DeltaChain} puts child and parents together.
 */
@NullMarked
package dev.ferry.image.sparse;

import org.jspecify.annotations.NullMarked;
