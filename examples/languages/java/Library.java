// Lends books: records, a sealed interface, streams and text in several languages.
import java.time.LocalDate;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

public class Library {
    record Book(String title, String author, int year) {}

    sealed interface Event permits Lent, Returned {}

    record Lent(Book book, String reader, LocalDate day) implements Event {}

    record Returned(Book book, LocalDate day) implements Event {}

    static final List<Book> BOOKS = List.of(
            new Book("Émile", "Rousseau", 1762),
            new Book("Преступление и наказание", "Достоевский", 1866),
            new Book("Les Misérables", "Hugo", 1862),
            new Book("Notre-Dame de Paris", "Hugo", 1831));

    static Map<Book, String> lent(List<Event> events) {
        Map<Book, String> out = new TreeMap<>((one, other) -> one.year() - other.year());
        for (Event event : events) {
            if (event instanceof Lent lent) out.put(lent.book(), lent.reader());
            else if (event instanceof Returned returned) out.remove(returned.book());
        }
        return out;
    }

    public static void main(String[] args) {
        LocalDate day = LocalDate.of(2024, 2, 28);
        List<Event> events = List.of(
                new Lent(BOOKS.get(0), "Ada", day),
                new Lent(BOOKS.get(1), "Grace", day.plusDays(1)),
                new Returned(BOOKS.get(0), day.plusDays(2)),
                new Lent(BOOKS.get(3), "Ada", day.plusDays(2)));

        BOOKS.stream()
                .collect(Collectors.groupingBy(Book::author, TreeMap::new, Collectors.counting()))
                .forEach((author, count) -> System.out.printf("%-12s %d%n", author, count));
        lent(events).forEach((book, reader) ->
                System.out.println(reader + " has " + book.title() + " (" + book.year() + ")"));
        System.out.println("last day: " + day.plusDays(2));
    }
}
