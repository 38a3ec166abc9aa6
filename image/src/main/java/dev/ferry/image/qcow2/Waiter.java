package dev.ferry.image.qcow2;

import dev.ferry.block.BlockError;
import org.jspecify.annotations.Nullable;

/** What waits for something of an image to be there: a table, room, or for the map to be written. */
abstract class Waiter {
    private @Nullable Waiter nextInList;
    private @Nullable Waiter nextJoined;

    /** What was waited for is there, or has failed. May be called before the call that began the wait returns. */
    abstract void resume(@Nullable BlockError error);

    /** What was dirty in the map when this was joined is in the file. */
    abstract void mapWritten(@Nullable BlockError error);

    /** Those who wait for one thing. */
    static final class List {
        private @Nullable Waiter first;
        private @Nullable Waiter last;

        boolean isEmpty() {
            return first == null;
        }

        void add(Waiter waiter) {
            if (last == null) {
                first = waiter;
            } else {
                last.nextInList = waiter;
            }
            last = waiter;
        }

        /** Those who begin to wait again meanwhile stay for the next time. */
        void resumeAll(@Nullable BlockError error) {
            Waiter waiter = first;
            first = null;
            last = null;
            while (waiter != null) {
                Waiter next = waiter.nextInList;
                waiter.nextInList = null;
                waiter.resume(error);
                waiter = next;
            }
        }
    }

    /** Those who wait for the map. */
    static final class Joined {
        private @Nullable Waiter first;

        boolean isEmpty() {
            return first == null;
        }

        void add(Waiter waiter) {
            waiter.nextJoined = first;
            first = waiter;
        }

        void takeFrom(Joined other) {
            first = other.first;
            other.first = null;
        }

        void tellAll(@Nullable BlockError error) {
            Waiter waiter = first;
            first = null;
            while (waiter != null) {
                Waiter next = waiter.nextJoined;
                waiter.nextJoined = null;
                waiter.mapWritten(error);
                waiter = next;
            }
        }
    }
}
