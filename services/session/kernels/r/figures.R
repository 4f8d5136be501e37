# ---- figures: each page that a cell draws, shown when the next begins or the cell ends ----

# A page is kept as R recorded it, and drawn anew in each form.
figures <- new.env(parent = emptyenv())
figures$device <- NULL # the device that pages are drawn on, which shows them to nobody
figures$page <- NULL
figures$drawing <- FALSE
figures$number <- 0

has_cairo <- function() isTRUE(capabilities("cairo")[[1]])

size_of <- function() {
  list(
    width = getOption("repr.plot.width", 7), height = getOption("repr.plot.height", 7),
    pointsize = getOption("repr.plot.pointsize", 12)
  )
}

open_png <- function(file) {
  res <- getOption("repr.plot.res", 120)
  do.call(grDevices::png, c(list(file, units = "in", res = res, type = "cairo"), size_of()))
}

open_svg <- function(file) do.call(grDevices::svg, c(list(file), size_of()))
open_pdf <- function(file) do.call(grDevices::pdf, c(list(file), size_of()))

# Called by R where something is drawn and no device is there.
open_device <- function(...) {
  keep_page()
  show_page()
  if (has_cairo()) open_png("/dev/null") else open_pdf(NULL)
  grDevices::dev.control("enable")
  figures$device <- grDevices::dev.cur()
}

is_open <- function() {
  names(figures$device) %in% names(grDevices::dev.list()) && figures$device %in% grDevices::dev.list()
}

# With its device the current one.
on_device <- function(work) {
  before <- grDevices::dev.cur()
  grDevices::dev.set(figures$device)
  on.exit(if (before > 1) grDevices::dev.set(before))
  work()
}

keep_page <- function() {
  if (is.null(figures$device) || figures$drawing) return(invisible())
  if (!is_open()) {
    figures$device <- NULL
    return(invisible())
  }
  page <- on_device(grDevices::recordPlot)
  if (length(page[[1]]) > 0) figures$page <- page
}

# Called before a page begins.
before_page <- function(...) {
  if (is.null(figures$device) || figures$drawing || is_child()) return(invisible())
  if (!is_open() || grDevices::dev.cur() != figures$device) return(invisible())
  keep_page()
  show_page()
}

before_plot <- function(...) {
  # On a page of several figures, the next may be on the same.
  if (!is.null(figures$device) && is_open() && isTRUE(graphics::par("page"))) before_page()
}

show_page <- function() {
  page <- figures$page
  if (is.null(page)) return(invisible())
  figures$page <- NULL
  figures$drawing <- TRUE
  on.exit(figures$drawing <- FALSE)
  forms <- list("text/plain" = "")
  wanted <- strsplit(Sys.getenv("SYLA_FIGURES", "png,svg"), ",", fixed = TRUE)[[1]]
  if (!has_cairo()) wanted <- "pdf"
  if ("svg" %in% wanted) {
    svg <- own_names(drawn(page, open_svg))
    # A picture of very many points is better had as an image.
    if (nchar(svg, "bytes") <= TEXT_MAX) forms[["image/svg+xml"]] <- svg
  }
  if ("pdf" %in% wanted) forms[["application/pdf"]] <- base64(drawn(page, open_pdf))
  if ("png" %in% wanted || length(forms) == 1) forms[["image/png"]] <- base64(drawn(page, open_png))
  say(list(say = "result", main = FALSE, forms = forms))
}

drawn <- function(page, open) {
  file <- tempfile(tmpdir = tempdir(check = TRUE))
  before <- grDevices::dev.cur()
  open(file)
  device <- grDevices::dev.cur()
  on.exit({
    if (device %in% grDevices::dev.list()) grDevices::dev.off(device)
    if (before > 1) grDevices::dev.set(before)
    unlink(file)
  })
  grDevices::replayPlot(page)
  grDevices::dev.off(device)
  readBin(file, "raw", file.size(file))
}

# Several that are put into one document are not to share names.
own_names <- function(svg) {
  figures$number <- figures$number + 1
  text <- rawToChar(svg)
  Encoding(text) <- "UTF-8"
  gsub("(id=\"|href=\"#|url\\(#)", sprintf("\\1r%d-", figures$number), text)
}

finish_figures <- function() {
  keep_page()
  show_page()
  if (!is.null(figures$device) && is_open()) grDevices::dev.off(figures$device)
  figures$device <- NULL
}
