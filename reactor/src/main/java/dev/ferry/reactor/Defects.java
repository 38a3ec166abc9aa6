package dev.ferry.reactor;

/**
 * Where a loop reports what should not have happened. The logger is looked for when there is something to say: the search
 * goes through every jar of the class path, and a process that has nothing to say starts sooner without it.
 */
final class Defects {
    private Defects() {}

    /** Reports {@code defect}, which {@code what} says the place of; the loop goes on. */
    static void log(String what, Throwable defect) {
        System.getLogger(ThreadLoop.class.getName()).log(System.Logger.Level.ERROR, what, defect);
    }
}
