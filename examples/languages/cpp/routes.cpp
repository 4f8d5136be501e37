// Finds the shortest routes between towns with Dijkstra's algorithm and a priority queue.
#include <iomanip>
#include <iostream>
#include <map>
#include <queue>
#include <string>
#include <vector>

using Roads = std::map<std::string, std::map<std::string, int>>;

struct Route {
  int kilometres;
  std::vector<std::string> towns;
  auto operator<=>(const Route &) const = default;
};

std::map<std::string, Route> shortest(const Roads &roads, const std::string &start) {
  std::map<std::string, Route> known;
  std::priority_queue<Route, std::vector<Route>, std::greater<>> next;
  next.push({0, {start}});
  while (!next.empty()) {
    const Route route = next.top();
    next.pop();
    const std::string &town = route.towns.back();
    if (!known.emplace(town, route).second) continue;
    for (const auto &[neighbour, kilometres] : roads.at(town)) {
      Route longer = route;
      longer.kilometres += kilometres;
      longer.towns.push_back(neighbour);
      next.push(std::move(longer));
    }
  }
  return known;
}

int main() {
  Roads roads;
  const auto connect = [&](const std::string &one, const std::string &other, int kilometres) {
    roads[one][other] = roads[other][one] = kilometres;
  };
  connect("Bern", "Basel", 95);
  connect("Bern", "Zürich", 125);
  connect("Basel", "Zürich", 87);
  connect("Zürich", "Chur", 121);
  connect("Bern", "Genève", 158);
  connect("Chur", "Lugano", 141);

  for (const auto &[town, route] : shortest(roads, "Genève")) {
    std::cout << std::setw(4) << route.kilometres << " km ";
    for (const auto &stop : route.towns) std::cout << (stop == "Genève" ? "" : " > ") << stop;
    std::cout << '\n';
  }
}
