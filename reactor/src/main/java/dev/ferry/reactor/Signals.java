package dev.ferry.reactor;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;

/**
 * Signals that mean something else to this process than its end. Any thread.
 *
 * <p>Java's only interface to them, {@code sun.misc.Signal} of module jdk.unsupported, cannot be named in a source without a
 * warning that nothing suppresses, so it is looked up.
 */
public final class Signals {
    private Signals() {}

    /**
     * Has every SIGHUP from now on run this, on a thread of its own, instead of ending the process. A process that was
     * started to ignore it (nohup) goes on to ignore it.
     */
    public static void onHangUp(Runnable action) {
        try {
            Class<?> signal = Class.forName("sun.misc.Signal");
            Class<?> handler = Class.forName("sun.misc.SignalHandler");
            Object acting = Proxy.newProxyInstance(
                    Signals.class.getClassLoader(), new Class<?>[] {handler}, (self, method, arguments) -> {
                        action.run();
                        return null;
                    });
            signal.getMethod("handle", signal, handler)
                    .invoke(null, signal.getConstructor(String.class).newInstance("HUP"), acting);
        } catch (InvocationTargetException refused) {
            throw new IllegalStateException("the JVM keeps SIGHUP to itself (-Xrs)", refused.getCause());
        } catch (ReflectiveOperationException impossible) {
            throw new IllegalStateException("this Java has no signals", impossible);
        }
    }
}
