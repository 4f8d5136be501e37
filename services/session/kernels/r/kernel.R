# Keeps an R's state between cells: told what to run on what was its standard input, it says what came of it on what was
# its descriptor 3, a JSON object in each line. What it defines is in an environment of its own, and nothing of it is in
# a cell's. The files of this folder are one program, this one first and serve.R last.

TEXT_MAX <- 1048576
PIPE_BYTES <- 4096L # so much is written whole, whatever signal comes

state <- new.env(parent = emptyenv())
state$self <- Sys.getpid()
state$cell <- NULL
state$input <- FALSE
state$count <- 0
state$depth <- Inf # so many calls of a cell's are ours
state$warnings <- list()
state$word_max <- 16777216

# `commands` came with this program. A second reader does not wait, so that an interrupt ends a cell that asks.
answers <- fifo("/proc/self/fd/4", "r", blocking = FALSE)
words <- fifo("/proc/self/fd/3", "wb", blocking = TRUE)

# R has no way to close a descriptor that is no connection, but a library of it has.
close_originals <- function() {
  tryCatch({
    library.dynam("parallel", "parallel", .Library)
    .Call(getNativeSymbolInfo("mc_close_fds", "parallel"), c(3L, 4L))
  }, error = function(e) NULL)
}
close_originals()

is_child <- function() Sys.getpid() != state$self

# ---- JSON ----

json <- function(value) {
  if (is.list(value)) {
    parts <- vapply(value, json, "")
    if (is.null(names(value))) paste0("[", paste(parts, collapse = ","), "]")
    else paste0("{", paste0(quoted(names(value)), ":", parts, collapse = ","), "}")
  } else if (is.logical(value)) {
    if (isTRUE(value)) "true" else "false"
  } else if (is.numeric(value)) {
    sprintf("%d", as.integer(value))
  } else {
    quoted(value)
  }
}

quoted <- function(text) {
  text <- utf8(text)
  for (change in list(c("\\", "\\\\"), c("\"", "\\\""), c("\n", "\\n"), c("\t", "\\t"), c("\r", "\\r")))
    text <- gsub(change[1], change[2], text, fixed = TRUE, useBytes = TRUE)
  if (any(grepl("[\001-\037]", text, useBytes = TRUE)))
    for (code in 1:31)
      text <- gsub(intToUtf8(code), sprintf("\\u%04x", code), text, fixed = TRUE, useBytes = TRUE)
  paste0("\"", text, "\"")
}

# Whatever its encoding, and without what is none.
utf8 <- function(text) {
  text <- as.character(text)
  text[is.na(text)] <- "NA"
  known <- Encoding(text) != "bytes"
  text[known] <- enc2utf8(text[known])
  wrong <- !validUTF8(text)
  if (any(wrong)) {
    bytes <- text[wrong]
    Encoding(bytes) <- "unknown"
    text[wrong] <- iconv(bytes, "UTF-8", "UTF-8", sub = "\uFFFD")
  }
  text
}

BASE64 <- charToRaw("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

base64 <- function(bytes) {
  more <- -length(bytes) %% 3
  triples <- matrix(as.integer(c(bytes, raw(more))), 3)
  value <- triples[1, ] * 65536L + triples[2, ] * 256L + triples[3, ]
  sixes <- rbind(value %/% 262144L, value %/% 4096L %% 64L, value %/% 64L %% 64L, value %% 64L)
  text <- BASE64[sixes + 1L]
  text[length(text) + 1 - seq_len(more)] <- charToRaw("=")
  list(base64 = rawToChar(text))
}

# ---- words and commands ----

say <- function(word) {
  if (is_child()) return(invisible())
  line <- charToRaw(paste0(json(word), "\n"))
  if (length(line) > state$word_max) return(say_less(word, length(line)))
  suspendInterrupts(for (from in seq(1, length(line), PIPE_BYTES))
    writeBin(line[from:min(from + PIPE_BYTES - 1, length(line))], words))
}

# What is too large is not sent, and that is told.
say_less <- function(word, size) {
  text <- sprintf("(%d bytes are more than can be shown)", size)
  if (word$say == "result") word$forms <- list("text/plain" = text)
  else if (word$say == "error") word[c("message", "traceback")] <- list(text, list())
  else word <- list(say = "reply", to = word$to)
  say(word)
}

# A command is a call of list() with nothing but constants and such calls in it. What is none is the rest of an answer to a cell that
# did not wait for all of it.
as_command <- function(line) {
  call <- tryCatch(parse(text = line, keep.source = FALSE)[[1]], error = function(e) NULL)
  if (!is.call(call) || !identical(call[[1]], quote(list))) return(list(do = "nothing"))
  constant <- function(value) {
    if (is.character(value)) Encoding(value) <- "UTF-8"
    if (is.call(value)) named(lapply(as.list(value)[-1], constant)) else value
  }
  named <- function(values) {
    if (!is.null(names(values))) Encoding(names(values)) <- "UTF-8"
    values
  }
  constant(call)
}

next_command <- function() {
  line <- readLines(commands, 1L)
  if (length(line) == 0) leave(0)
  as_command(line)
}

# After browser() R takes itself to be in it, and then does not quit.
leave <- function(status) {
  original$quit("no", status, FALSE)
  tools::pskill(Sys.getpid(), tools::SIGKILL)
}
