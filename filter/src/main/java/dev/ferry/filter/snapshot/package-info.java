/**
 * A disk in layers: {@link dev.ferry.filter.snapshot.Layers} sends a guest to the layer on top, so that those below stand
 * still. What a layer is, and how one falls through to the next, is the affair of whoever stacks them. {@link
 * dev.ferry.filter.snapshot.CopyOnWrite} is a layer for changes that are thrown away.
 */
@NullMarked
package dev.ferry.filter.snapshot;

import org.jspecify.annotations.NullMarked;
