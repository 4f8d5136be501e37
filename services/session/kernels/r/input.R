# ---- what a cell asks of whoever runs it ----

original <- list(quit = quit, readline = readline, readLines = readLines, scan = scan)

# NULL where nobody answers.
ask <- function(prompt, password = FALSE) {
  if (!state$input || is_child()) return(NULL)
  say(list(say = "input", prompt = paste(utf8(prompt), collapse = ""), password = password))
  repeat {
    line <- original$readLines(answers, 1L)
    if (length(line) > 0) break
    Sys.sleep(0.01)
  }
  as_command(line)$text
}

ask_line <- function(prompt = "") {
  text <- ask(prompt)
  if (is.null(text)) stop("end of input: nobody answers", call. = FALSE)
  text
}

is_input <- function(con) {
  if (is.character(con)) return(identical(con, "stdin"))
  inherits(con, "connection") && (as.integer(con) == 0 || identical(summary(con)$description, "stdin"))
}

# At most so many; fewer where there are no more, or where `until` says that it is enough.
ask_lines <- function(most, until = function(lines) FALSE) {
  lines <- character()
  while (most < 0 || length(lines) < most) {
    line <- ask("")
    if (is.null(line)) break
    lines <- c(lines, line)
    if (until(lines)) break
  }
  lines
}

read_lines <- function(con = stdin(), n = -1L, ...) {
  if (is_input(con)) ask_lines(n) else original$readLines(con, n, ...)
}

# As at a console: to an empty line, or until there are as many values as are wanted.
scan_input <- function(file = "", ...) {
  given <- list(...)
  if ("text" %in% names(given) || !(identical(file, "") || is_input(file))) return(original$scan(file, ...))
  most <- if (is.null(given$n)) Inf else given$n
  value_of <- function(lines) original$scan(text = lines, ...)
  enough <- function(lines) {
    lines[length(lines)] == "" || (is.finite(most) && length(suppressMessages(value_of(lines))) >= most)
  }
  value_of(ask_lines(-1, enough))
}

# A cell that quits has ended; its interpreter stays. In a process that it forked, quit() is what it is.
quit_cell <- function(save = "default", status = 0, runLast = TRUE) {
  if (is_child() || is.null(state$cell)) original$quit(save, status, runLast)
  invokeRestart("quit_cell", status)
}

# All but those that this program has.
close_connections <- function() {
  while (sink.number() > 0) sink()
  sink(type = "message")
  own <- vapply(list(commands, answers, words), as.integer, 0L)
  for (number in setdiff(getAllConnections(), c(0:2, own))) close(getConnection(number))
}

# In the packages themselves, where everything finds them.
replace_function <- function(name, value, namespace) {
  places <- list(asNamespace(namespace))
  if (namespace != "base") places <- c(places, as.environment(paste0("package:", namespace)))
  environment <- environment(value)
  for (place in places) {
    unlockBinding(name, place)
    assign(name, value, place)
    lockBinding(name, place)
  }
}
