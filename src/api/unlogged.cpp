// Unlogged pages: handles, and what may be a parent of one.
#include "api/bus.hpp"

#include "base/copy.hpp"

#include <fmt/format.h>

namespace mmsb {

using detail::Bus;

namespace {

[[noreturn]] void refuse(const std::string& what, const std::string& expected,
                         const std::string& found) {
    throw InvalidArgument(ErrorCode::invalid_argument, what,
                          {.expected = expected, .found = found});
}

// Of a handle that was moved from it says what it says of one that never was a page's.
const state::UnloggedPointer& node_of(const UnloggedPage& page) {
    const auto& node = Bus::node_of(page);
    if (!node) static_cast<void>(Bus::get({}));
    return node;
}

state::UnloggedPointer node_of(Bus& bus, const detail::Handle& handle, const AnyPage& parent) {
    if (const auto* page = std::get_if<Page>(&parent)) {
        detail::check_same_bus(*page, handle);
        return bus.unlogged.source(page->id(), Bus::handle_of(*page).line);
    }
    const auto& page = std::get<UnloggedPage>(parent);
    if (&Bus::get(Bus::handle_of(page)) != &bus)
        refuse("an unlogged page is another State's", "one of this State", "another's");
    return node_of(page);
}

UnloggedPage make(const detail::Handle& handle, std::size_t size,
                  const std::vector<AnyPage>& parents, state::FunctionPointer function,
                  std::string name, Bytes arguments) {
    auto& bus = Bus::get(handle);
    if (size > limits::page_size)
        refuse("the page is too large", fmt::format("{} bytes at most", limits::page_size),
               fmt::format("{}", size));
    if (parents.empty() || parents.size() > limits::formula_parents)
        refuse("a page is computed from others",
               fmt::format("1 to {} parents", limits::formula_parents),
               fmt::format("{}", parents.size()));
    std::vector<state::UnloggedPointer> nodes;
    nodes.reserve(parents.size());
    for (const auto& parent : parents) nodes.push_back(node_of(bus, handle, parent));
    return Bus::unlogged_page(
        handle, state::UnloggedGraph::make(size, std::move(nodes), std::move(function),
                                           std::move(name), std::move(arguments)));
}

// Shows the page, up to date.
void look(const UnloggedPage& page, FunctionRef<void(const state::UnloggedNode&)> show) {
    auto& bus = Bus::get(Bus::handle_of(page));
    bus.look_for_arena();
    bus.unlogged.read(bus.at(), *node_of(page), show);
}

}  // namespace

UnloggedPage ShadowPageGraph::derive_unlogged(std::size_t size, const std::vector<AnyPage>& parents,
                                              const Formula& formula) const {
    auto& bus = Bus::get(bus_).at();
    detail::check_formula(PageId::none, formula);
    auto function = bus.functions.find(formula.function);
    if (!function)
        refuse("this process has no code for the function", "a registered or built-in one",
               formula.function);
    if (function->accumulates)
        refuse("what accumulates is computed at each commit, and an unlogged page when it is read",
               "a function that does not", formula.function);
    return make(bus_, size, parents, std::move(function), formula.function, formula.arguments);
}

UnloggedPage ShadowPageGraph::derive_unlogged(std::size_t size, const std::vector<AnyPage>& parents,
                                              RecomputeFunction function, Locality locality) const {
    if (!function) refuse("a function is to be called", "a function", "none");
    detail::check_locality(locality);
    auto made = std::make_shared<const state::RegisteredFunction>(state::RegisteredFunction{
        .call = Bus::function(std::move(function)), .locality = locality});
    return make(bus_, size, parents, std::move(made), "its function", {});
}

std::size_t UnloggedPage::size() const {
    static_cast<void>(Bus::get(bus_));
    return node_of(*this)->whole.size;  // for ever
}

Bytes UnloggedPage::read() const {
    Bytes bytes;
    look(*this, [&bytes](const state::UnloggedNode& node) { bytes = node.bytes; });
    return bytes;
}

void UnloggedPage::read_into(std::span<std::byte> out) const {
    if (out.size() != size())
        refuse("an unlogged page is read whole", fmt::format("{} bytes", size()),
               fmt::format("{}", out.size()));
    look(*this, [out](const state::UnloggedNode& node) { base::copy(node.bytes, out.data()); });
}

bool UnloggedPage::stale() const {
    bool stale = false;
    look(*this, [&stale](const state::UnloggedNode& node) { stale = node.stale; });
    return stale;
}

std::uint64_t UnloggedPage::version() const {
    std::uint64_t version = 0;
    look(*this, [&version](const state::UnloggedNode& node) { version = node.version; });
    return version;
}

}  // namespace mmsb
