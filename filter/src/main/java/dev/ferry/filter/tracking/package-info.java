/**
 * What has changed on a disk: {@link dev.ferry.filter.tracking.Tracker} is a layer that every request passes through, and
 * marks what was changed in any number of {@link dev.ferry.filter.tracking.DirtyBitmap}s, each with a name and a
 * granularity of its own. A move that follows a guest by iterations reads them; a backup may, or a client of NBD.
 */
@NullMarked
package dev.ferry.filter.tracking;

import org.jspecify.annotations.NullMarked;
