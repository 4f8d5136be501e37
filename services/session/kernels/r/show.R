# ---- what cells show: the forms of a value ----

# What printing it prints.
printed <- function(value) {
  into <- rawConnection(raw(0), "w")
  depth <- sink.number()
  sink(into)
  on.exit({
    while (sink.number() > depth) sink()
    close(into)
  })
  if (isS4(value)) methods::show(value) else print(value)
  while (sink.number() > depth) sink()
  text <- rawToChar(Filter(as.logical, rawConnectionValue(into)))
  Encoding(text) <- "UTF-8"
  text <- sub("\n$", "", utf8(text), useBytes = TRUE)
  shorter(text)
}

shorter <- function(text) {
  size <- nchar(text, "bytes")
  if (size <= TEXT_MAX) return(text)
  start <- rawToChar(charToRaw(text)[seq_len(TEXT_MAX)])
  Encoding(start) <- "UTF-8"
  paste0(utf8(start), " (and ", size - TEXT_MAX, " bytes more)")
}

# What has rows and columns is a table too; a form that cannot be made is none.
forms_of <- function(value) {
  if (is_bundle(value)) return(with_text(Map(packed, names(value), value)))
  forms <- list("text/plain" = printed(value))
  html <- tryCatch(html_of(value), error = function(e) NULL)
  if (!is.null(html) && nchar(html, "bytes") <= TEXT_MAX) forms[["text/html"]] <- html
  forms
}

html_of <- function(value) {
  if (is.data.frame(value) || (is.matrix(value) && is.atomic(value)))
    return(if (ncol(value) > 0) table_of(value))
  if (inherits(value, c("html", "shiny.tag", "shiny.tag.list"))) return(paste(as.character(value), collapse = "\n"))
}

# A list of forms by media type.
is_bundle <- function(value) {
  is.list(value) && !is.object(value) && length(value) > 0 && !is.null(names(value)) &&
    all(grepl("^(text|image|application|audio|video|model)/[^/]+$", names(value)))
}

packed <- function(type, data) {
  if (is.raw(data)) base64(data) else paste(utf8(data), collapse = "\n")
}

with_text <- function(forms) {
  if (is.null(forms[["text/plain"]])) c(list("text/plain" = ""), forms) else forms
}

escaped <- function(text) {
  text <- utf8(text)
  for (change in list(c("&", "&amp;"), c("<", "&lt;"), c(">", "&gt;"), c("\"", "&quot;")))
    text <- gsub(change[1], change[2], text, fixed = TRUE)
  text
}

# The first and last of what is more than fits, with NA where something is left out.
some_of <- function(count, most) {
  if (count <= most) return(seq_len(count))
  c(seq_len(ceiling(most / 2)), NA, seq(to = count, length.out = floor(most / 2)))
}

# These options are those of the usual kernel of R.
table_of <- function(value) {
  rows <- some_of(nrow(value), getOption("repr.matrix.max.rows", 60))
  columns <- some_of(ncol(value), getOption("repr.matrix.max.cols", 20))
  names <- colnames(value)
  sides <- if (is.data.frame(value) && .row_names_info(value) < 0) NULL else rownames(value)
  cell <- function(tag, text) paste0("<", tag, ">", text, "</", tag, ">")
  heads <- if (!is.null(names)) ifelse(is.na(columns), "\u22ef", escaped(names[columns]))
  made <- lapply(columns, function(column) {
    if (is.na(column)) return(rep("\u22ef", length(rows)))
    ifelse(is.na(rows), "\u22ee", escaped(texts_of(value, rows, column)))
  })
  body <- vapply(seq_along(rows), function(row) {
    side <- if (is.null(sides)) "" else cell("th", if (is.na(rows[row])) "\u22ee" else escaped(sides[rows[row]]))
    cell("tr", paste0(side, paste0(cell("td", vapply(made, `[`, "", row)), collapse = "")))
  }, "")
  corner <- if (is.null(sides)) "" else cell("th", "")
  head <- paste0(cell("thead", cell("tr", paste0(corner, paste0(cell("th", heads), collapse = "")))), "\n")
  paste0("<table>\n", if (!is.null(names)) head, "<tbody>\n", paste0(body, rep("\n", length(body)), collapse = ""), "</tbody>\n</table>")
}

texts_of <- function(value, rows, column) {
  there <- rows[!is.na(rows)]
  found <- if (is.data.frame(value)) value[[column]] else value[, column]
  found <- if (is.null(dim(found))) found[there] else found[there, , drop = FALSE]
  text <- if (is.character(found) || is.factor(found)) as.character(found) else format(found, trim = TRUE)
  if (!is.null(dim(text))) text <- apply(text, 1, paste, collapse = " ")
  all <- rep("", length(rows))
  all[!is.na(rows)] <- utf8(text)
  all
}

show_value <- function(value, main = FALSE) {
  forms <- forms_of(value)
  # A plot prints nothing: it draws.
  if (length(forms) == 1 && identical(forms[["text/plain"]], "")) return(invisible())
  say(list(say = "result", main = main, forms = forms))
}
