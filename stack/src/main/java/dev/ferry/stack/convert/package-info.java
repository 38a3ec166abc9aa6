/**
 * Makes an image of a disk that nobody changes meanwhile, in one pass and on all cores, by an {@link
 * dev.ferry.image.ImageWriter}: {@link dev.ferry.stack.convert.Conversion}.
 *
 * <pre>
 *   control plane   where the source has data: pieces, in the order of the disk
 *   each loop       takes a piece, reads it, looks for zeroes, compresses (Reader)
 *                   when all before it have theirs: its clusters get their places in the file (Piece)
 *                   writes it there
 * </pre>
 */
@NullMarked
package dev.ferry.stack.convert;

import org.jspecify.annotations.NullMarked;
