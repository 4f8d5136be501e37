# Counts the words of a text, and fits a line to how their number falls with their length.
text <- c("the quick brown fox jumps over the lazy dog", "the dog sleeps while the quick fox runs", "état, été: words too")
words <- unlist(strsplit(tolower(gsub("[[:punct:]]", "", text)), " +"))

counts <- sort(table(words), decreasing = TRUE)
for (word in names(counts)[counts > 1]) cat(sprintf("%-6s %d\n", word, counts[[word]]))

lengths <- as.data.frame(table(length = nchar(words)), responseName = "number")
lengths$length <- as.integer(as.character(lengths$length))
print(lengths, row.names = FALSE)
cat("slope", round(coef(lm(number ~ length, lengths))[["length"]], 3), "\n")
