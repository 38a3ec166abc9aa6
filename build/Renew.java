import java.io.IOException;
import java.io.OutputStream;
import java.lang.classfile.ClassFile;
import java.lang.classfile.ClassHierarchyResolver;
import java.lang.classfile.ClassModel;
import java.lang.classfile.ClassTransform;
import java.lang.classfile.CodeTransform;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.jar.JarOutputStream;

/**
 * Brings the classes of libraries that were compiled for a very old Java up to the form of Java 8, with stack maps. The JVM leaves
 * older ones out of its AOT cache, and loads and verifies them at every start; what they do stays the same.
 *
 * <p>Used by dist.sh: {@code java Renew.java JAR...}; a jar that has no such class is left alone, and so is one that is signed.
 */
final class Renew {
    private static final int OLDEST = ClassFile.JAVA_6_VERSION;
    private static final int WANTED = ClassFile.JAVA_8_VERSION;

    private Renew() {}

    public static void main(String[] jars) throws IOException {
        List<URL> path = new ArrayList<>();
        for (String jar : jars) {
            path.add(Path.of(jar).toUri().toURL());
        }
        try (URLClassLoader classes = new URLClassLoader(path.toArray(URL[]::new))) {
            ClassFile files = ClassFile.of(
                    ClassFile.StackMapsOption.GENERATE_STACK_MAPS,
                    ClassFile.ConstantPoolSharingOption.NEW_POOL,
                    ClassFile.ClassHierarchyResolverOption.of(ClassHierarchyResolver.ofResourceParsing(classes)
                            .orElse(ClassHierarchyResolver.defaultResolver())));
            for (String jar : jars) {
                renew(Path.of(jar), files);
            }
        }
    }

    private static void renew(Path jar, ClassFile files) throws IOException {
        Path renewed = jar.resolveSibling(jar.getFileName() + ".new");
        boolean changed = false;
        try (JarFile from = new JarFile(jar.toFile(), false)) {
            List<JarEntry> entries = Collections.list(from.entries());
            if (entries.stream().anyMatch(entry -> entry.getName().matches("META-INF/[^/]*\\.SF"))) {
                return;
            }
            try (OutputStream file = Files.newOutputStream(renewed);
                    JarOutputStream to = new JarOutputStream(file)) {
                for (JarEntry entry : entries) {
                    byte[] bytes = from.getInputStream(entry).readAllBytes();
                    if (old(entry, bytes)) {
                        changed = true;
                        bytes = renewed(files, bytes);
                    }
                    JarEntry copy = new JarEntry(entry.getName());
                    copy.setTime(entry.getTime());
                    to.putNextEntry(copy);
                    to.write(bytes);
                    to.closeEntry();
                }
            }
        }
        if (changed) {
            Files.move(renewed, jar, StandardCopyOption.REPLACE_EXISTING);
        } else {
            Files.delete(renewed);
        }
    }

    private static boolean old(JarEntry entry, byte[] bytes) {
        return entry.getName().endsWith(".class")
                && bytes.length > 8
                && (((bytes[6] & 0xff) << 8) | (bytes[7] & 0xff)) < OLDEST;
    }

    private static byte[] renewed(ClassFile files, byte[] bytes) {
        ClassModel model = files.parse(bytes);
        ClassTransform anew = ClassTransform.transformingMethodBodies(CodeTransform.ACCEPT_ALL);
        return files.transformClass(model, anew.andThen(ClassTransform.endHandler(to -> to.withVersion(WANTED, 0))));
    }
}
