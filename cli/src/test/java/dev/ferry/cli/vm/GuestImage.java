package dev.ferry.cli.vm;

import dev.ferry.testkit.Requires;
import dev.ferry.testkit.Stranger;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * What the test guest boots: Debian's cloud kernel as it is, and an initramfs made here from its modules, the static
 * busybox, mke2fs with its libraries, and scripts that lie beside this class. Nothing of it is kept in the repository.
 *
 * @param kernel the kernel's image
 * @param initramfs a compressed cpio archive in the {@code newc} format
 */
record GuestImage(Path kernel, Path initramfs) {
    static final Path BUSYBOX = Path.of("/bin/busybox");
    private static final Pattern LIBRARY = Pattern.compile("/\\S+\\.so\\S*");

    /** In the order in which they must be loaded. */
    private static final List<String> VIRTIO =
            List.of("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci");

    /**
     * What a guest is made of.
     *
     * @param init its first program, beside this class
     * @param scripts what that sources, beside this class
     * @param modules besides those of virtio, in the order in which they must be loaded
     * @param programs of this machine, with their libraries
     */
    record Recipe(String init, List<String> scripts, List<String> modules, List<String> programs) {
        /** Works on a disk that it is given. */
        static final Recipe WORKING =
                new Recipe("init.sh", List.of("load.sh"), List.of("virtio_blk"), List.of("mke2fs"));

        /** Goes on with what is on its disk ({@link BootDisk}). */
        static final Recipe BOOTING = new Recipe("switch.sh", List.of(), List.of("virtio_blk"), List.of());

        /** Has a network, and attaches its disks by itself. */
        static final Recipe ATTACHING = new Recipe(
                "attach.sh",
                List.of(),
                List.of("failover", "net_failover", "virtio_net", "nbd"),
                List.of("mke2fs", "e2fsck", "nbd-client"));
    }

    /** Goes on if the machine has what every guest is made of, and what looks at its disk afterwards. */
    static void require() throws IOException {
        for (String program : List.of("qemu-system-x86_64", "busybox", "mke2fs", "e2fsck", "debugfs")) {
            Requires.program(program);
        }
        Requires.that(findKernel().isPresent(), "a kernel in /boot with its modules (linux-image-cloud-amd64)");
    }

    /** A kernel of this machine whose modules are here too, the cloud kernel if there is a choice. */
    private static Optional<Path> findKernel() throws IOException {
        if (!Files.isDirectory(Path.of("/boot"))) {
            return Optional.empty();
        }
        try (Stream<Path> boot = Files.list(Path.of("/boot"))) {
            List<Path> kernels = boot.filter(
                            path -> path.getFileName().toString().startsWith("vmlinuz-"))
                    .filter(Files::isReadable)
                    .filter(path -> Files.isDirectory(modulesOf(path)))
                    .sorted()
                    .toList();
            return kernels.stream()
                    .filter(path -> path.toString().contains("cloud"))
                    .findFirst()
                    .or(() -> kernels.stream().findFirst());
        }
    }

    /** Makes the initramfs below {@code directory}. */
    static GuestImage make(Path directory) throws IOException {
        return make(directory, Recipe.WORKING);
    }

    static GuestImage make(Path directory, Recipe recipe) throws IOException {
        Path kernel = findKernel().orElseThrow(() -> new AssertionError("no kernel in /boot"));
        Path root = directory.resolve("initramfs");
        for (String name : List.of("bin", "sbin", "modules", "proc", "sys", "dev", "run")) {
            Files.createDirectories(root.resolve(name));
        }
        copyProgram(BUSYBOX, root.resolve("bin/busybox"));
        for (String name : recipe.programs) {
            Path program = Requires.program(name);
            copyProgram(program, root.resolve("sbin").resolve(name));
            copyLibraries(program, root);
        }
        List<String> modules = new ArrayList<>(VIRTIO);
        modules.addAll(recipe.modules);
        for (String module : modules) {
            copyModule(modulesOf(kernel), module, root.resolve("modules"));
        }
        copyScript(recipe.init, root.resolve("init"));
        for (String script : recipe.scripts) {
            copyScript(script, root.resolve(script));
        }
        Path initramfs = directory.resolve("initramfs.gz");
        String pack = "cd '" + root + "' && find . | /bin/busybox cpio -o -H newc | gzip -1 > '" + initramfs + "'";
        Stranger.succeeds("sh", "-c", pack);
        return new GuestImage(kernel, initramfs);
    }

    private static Path modulesOf(Path kernel) {
        return Path.of("/lib/modules", kernel.getFileName().toString().substring("vmlinuz-".length()));
    }

    /** Copies a script that lies beside this class. */
    static void copyScript(String name, Path to) throws IOException {
        try (InputStream script = GuestImage.class.getResourceAsStream(name)) {
            if (script == null) {
                throw new AssertionError(name + " is not on the class path");
            }
            Files.copy(script, to);
        }
        Files.setPosixFilePermissions(to, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    static void copyProgram(Path from, Path to) throws IOException {
        Files.copy(from.toRealPath(), to, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.COPY_ATTRIBUTES);
    }

    private static void copyLibraries(Path program, Path root) throws IOException {
        Matcher matcher = LIBRARY.matcher(Stranger.succeeds("ldd", program));
        while (matcher.find()) {
            Path library = Path.of(matcher.group());
            Path copy = root.resolve(library.toString().substring(1));
            Files.createDirectories(copy.getParent());
            copyProgram(library, copy);
        }
    }

    /** Copies a module, unpacked; one that is built into the kernel needs no copy. */
    private static void copyModule(Path modules, String name, Path to) throws IOException {
        List<Path> found = new ArrayList<>();
        Pattern file = Pattern.compile(name + "\\.ko(\\.xz|\\.zst|\\.gz)?");
        try (Stream<Path> paths = Files.walk(modules)) {
            paths.filter(path -> file.matcher(path.getFileName().toString()).matches())
                    .forEach(found::add);
        }
        Path module = to.resolve(name + ".ko");
        if (found.isEmpty()) {
            String builtIn = Files.readString(modules.resolve("modules.builtin"));
            if (!builtIn.contains("/" + name + ".ko")) {
                throw new AssertionError("the kernel of " + modules + " has no " + name);
            }
            return;
        }
        Path source = found.getFirst();
        String unpack = source.toString().endsWith(".xz")
                ? "xz -dc"
                : source.toString().endsWith(".zst")
                        ? "zstd -dc"
                        : source.toString().endsWith(".gz") ? "gzip -dc" : "cat";
        Stranger.succeeds("sh", "-c", unpack + " '" + source + "' > '" + module + "'");
    }
}
