/**
 * What formats that are read, and not written, are made of: {@link dev.ferry.image.sparse.SparseExtent}, a part of a disk
 * whose grains lie anywhere in a file; {@link dev.ferry.image.sparse.FlatExtent}, one that lies there as it is; {@link
 * dev.ferry.image.sparse.JoinedExtents}, a disk of such parts.
 */
@NullMarked
package dev.ferry.image.sparse;

import org.jspecify.annotations.NullMarked;
