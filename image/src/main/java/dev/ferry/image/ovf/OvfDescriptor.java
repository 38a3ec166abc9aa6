package dev.ferry.image.ovf;

import dev.ferry.block.BlockError;
import dev.ferry.block.BlockException;
import dev.ferry.block.ErrorKind;
import dev.ferry.image.FileBytes;
import dev.ferry.image.ImageFormat;
import dev.ferry.image.sparse.Neighbours;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import javax.xml.XMLConstants;
import javax.xml.parsers.DocumentBuilder;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.parsers.ParserConfigurationException;
import org.jspecify.annotations.Nullable;
import org.w3c.dom.Document;
import org.w3c.dom.Element;
import org.w3c.dom.Node;
import org.w3c.dom.NodeList;
import org.xml.sax.SAXException;
import org.xml.sax.helpers.DefaultHandler;

/**
 * What the descriptor of an appliance says of its disks: {@code References} has the files, {@code DiskSection} the disks that
 * are in them. Blocking code.
 */
public final class OvfDescriptor {
    private static final int BYTES_MAX = 4 << 20;
    private static final int DISKS_MAX = 256;

    private final FileBytes file;

    private OvfDescriptor(FileBytes file) {
        this.file = file;
    }

    /**
     * A disk of an appliance.
     *
     * @param id as the descriptor calls it
     * @param fileName of the file that it is in, beside the descriptor
     */
    public record Disk(String id, String fileName, ImageFormat format) {}

    /** Reads a descriptor. Disks that are in no file, which are empty, are left out. */
    public static List<Disk> read(FileBytes file) throws BlockException {
        return new OvfDescriptor(file).disks();
    }

    private List<Disk> disks() throws BlockException {
        Document document = parse();
        Map<String, Element> files = new HashMap<>();
        for (Element one : elements(document, "File")) {
            files.put(attribute(one, "id"), one);
        }
        List<Disk> disks = new ArrayList<>();
        for (Element disk : elements(document, "Disk")) {
            String reference = attribute(disk, "fileRef");
            if (reference.isEmpty()) {
                continue;
            }
            Element inFile = files.get(reference);
            require(inFile != null, "a disk of it is in a file that it does not name");
            disks.add(disk(disk, Objects.requireNonNull(inFile)));
            require(disks.size() <= DISKS_MAX, "it has more than " + DISKS_MAX + " disks");
        }
        require(!disks.isEmpty(), "it has no disk that is in a file");
        return disks;
    }

    private Disk disk(Element disk, Element inFile) throws BlockException {
        String name = attribute(inFile, "href");
        require(Neighbours.isName(name), "a file of it is not beside it");
        String compression = attribute(inFile, "compression");
        if (!(compression.isEmpty() || compression.equals("identity"))
                || !attribute(inFile, "chunkSize").isEmpty()) {
            throw unsupported("its file " + name + " is compressed, or in pieces; unpack it first");
        }
        String said = attribute(disk, "format").toLowerCase(Locale.ROOT);
        ImageFormat format;
        if (said.contains("vmdk")) {
            format = ImageFormat.VMDK;
        } else if (said.contains("vhd") || said.contains("bb676673")) {
            // The number is that of Microsoft's page on VHD.
            format = ImageFormat.VHD;
        } else {
            throw unsupported("its disk " + name + " has a format that is not known; vmdk and vhd are");
        }
        return new Disk(attribute(disk, "diskId"), name, format);
    }

    private Document parse() throws BlockException {
        require(file.lengthBytes() <= BYTES_MAX, "it is longer than 4 MiB");
        byte[] bytes = file.read(0, (int) file.lengthBytes());
        try {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setNamespaceAware(true);
            factory.setXIncludeAware(false);
            factory.setExpandEntityReferences(false);
            factory.setFeature(XMLConstants.FEATURE_SECURE_PROCESSING, true);
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            factory.setAttribute(XMLConstants.ACCESS_EXTERNAL_DTD, "");
            factory.setAttribute(XMLConstants.ACCESS_EXTERNAL_SCHEMA, "");
            DocumentBuilder builder = factory.newDocumentBuilder();
            // The one that there is prints what is wrong.
            builder.setErrorHandler(new DefaultHandler());
            return builder.parse(new ByteArrayInputStream(bytes));
        } catch (SAXException | IOException damaged) {
            throw BlockError.of(
                            ErrorKind.CORRUPT,
                            file.name(),
                            "open",
                            "it is no descriptor of an appliance: "
                                    + String.valueOf(damaged.getMessage()).replaceAll("[^ -~]", "?"))
                    .toException();
        } catch (ParserConfigurationException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    private static List<Element> elements(Document document, String name) {
        NodeList nodes = document.getElementsByTagNameNS("*", name);
        List<Element> elements = new ArrayList<>();
        for (int i = 0; i < nodes.getLength(); i++) {
            if (nodes.item(i) instanceof Element element) {
                elements.add(element);
            }
        }
        return elements;
    }

    /** Whatever its prefix; empty if there is none. */
    private static String attribute(Element element, String name) {
        for (int i = 0; i < element.getAttributes().getLength(); i++) {
            @Nullable Node attribute = element.getAttributes().item(i);
            if (attribute != null && name.equals(attribute.getLocalName())) {
                return attribute.getNodeValue();
            }
        }
        return "";
    }

    private BlockException unsupported(String why) {
        return BlockError.of(ErrorKind.UNSUPPORTED, file.name(), "open", why).toException();
    }

    private void require(boolean holds, String otherwise) throws BlockException {
        if (!holds) {
            throw BlockError.of(ErrorKind.CORRUPT, file.name(), "open", otherwise)
                    .toException();
        }
    }
}
