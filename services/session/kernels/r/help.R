# ---- answers about code: how it can go on, what a name is, and whether it is whole ----

MATCHES_MAX <- 500

answer <- function(command) {
  reply <- NULL
  forget_interrupt()
  work <- switch(command$do, complete = complete, inspect = inspect, check = check, function(command) NULL)
  attempt(function() reply <<- work(command))
  say(c(list(say = "reply", to = command$id), reply))
}

# By R's own completion, which knows arguments, columns, packages and files.
complete <- function(command) {
  before <- substr(command$code, 1, command$cursor)
  line <- sub("^.*\n", "", before)
  utils <- asNamespace("utils")
  utils$.assignLinebuffer(line)
  utils$.assignEnd(nchar(line))
  token <- utils$.guessTokenFromLine()
  utils$.completeToken()
  found <- utils$.retrieveCompletions()
  matches <- unique(found[nzchar(found)])
  matches <- as.list(matches[seq_len(min(length(matches), MATCHES_MAX))])
  list(matches = matches, start = nchar(before) - nchar(token), end = nchar(before))
}

inspect <- function(command) {
  start <- regmatches(substr(command$code, 1, command$cursor),
    regexpr("[[:alnum:]._:$@]*$", substr(command$code, 1, command$cursor)))
  rest <- substring(command$code, command$cursor + 1)
  name <- paste0(start, regmatches(rest, regexpr("^[[:alnum:]._]*", rest)))
  if (!nzchar(name)) return(list(found = FALSE))
  value <- tryCatch(list(eval(parse(text = name, keep.source = FALSE)[[1]], globalenv())), error = function(e) NULL)
  if (is.null(value)) return(list(found = FALSE))
  list(found = TRUE, forms = list("text/plain" = described(name, value[[1]])))
}

described <- function(name, value) {
  if (is.function(value)) {
    usage <- sub(" *NULL$", "", paste(trimws(deparse(args(value))), collapse = " "))
    about <- paste0("Signature: ", name, sub("^function *", "", usage))
  } else {
    text <- substr(paste(utils::capture.output(utils::str(value)), collapse = "\n"), 1, 1000)
    about <- paste0("Value:", text)
  }
  lines <- c(about, paste("Class:", paste(class(value), collapse = ", ")), documentation(name))
  shorter(paste(lines, collapse = "\n"))
}

documentation <- function(name) {
  topic <- sub("^.*:", "", name)
  found <- tryCatch(utils::help((topic), help_type = "text"), error = function(e) character())
  if (length(found) == 0) return(NULL)
  file <- tempfile(tmpdir = tempdir(check = TRUE))
  on.exit(unlink(file))
  tools::Rd2txt(utils:::.getHelpFile(found[1]), out = file, options = list(underline_titles = FALSE))
  c("Documentation:", readLines(file, warn = FALSE))
}

check <- function(command) {
  verdict <- tryCatch({
    parse(text = command$code, keep.source = FALSE)
    "complete"
  }, error = function(e) {
    ends <- "unexpected end of input|unexpected INCOMPLETE_STRING|unexpected end of line"
    if (grepl(ends, conditionMessage(e))) "incomplete" else "invalid"
  })
  list(verdict = verdict)
}
