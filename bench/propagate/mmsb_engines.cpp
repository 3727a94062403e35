// MMSB: the walk over the graph by itself, on bytes in private memory; and whole commits, each
// derived page logged and safe from kill -9.
#include "propagate/shapes.hpp"

#include "delta/ranges.hpp"
#include "graph/locality.hpp"
#include "graph/propagate.hpp"

#include <mmsb/mmsb.hpp>

namespace bench {

namespace {

using mmsb::PageId;

PageId id_of(std::size_t node) { return PageId{node + 1}; }

constexpr mmsb::ByteRange whole{0, page_size};

mmsb::Locality locality_of(Reach reach) {
    return reach == Reach::page ? mmsb::Locality::opaque : mmsb::Locality::lane_wise;
}

void compute_node(const Shape& shape, Reach reach, std::size_t node, const mmsb::Recompute& r) {
    thread_local std::vector<const Page*> parents;
    parents.clear();
    for (std::size_t i = 0; i != r.parents(); ++i)
        parents.push_back(reinterpret_cast<const Page*>(r.parent(i).data()));
    auto& out = *reinterpret_cast<Page*>(r.out().data());
    if (reach == Reach::page)
        compute(shape, node, parents, out);
    else
        compute_changed(shape, node, parents, r.changed(0), out);
}

mmsb::graph::Graph graph_of(const Shape& shape) {
    std::vector<std::pair<PageId, mmsb::graph::RulePointer>> rules;
    for (std::size_t node = 0; node < shape.parents.size(); ++node) {
        if (shape.parents[node].empty()) continue;
        mmsb::graph::Rule rule{"bench.node/1", {}, {}};
        for (const auto parent : shape.parents[node]) rule.parents.push_back(id_of(parent));
        rules.emplace_back(id_of(node), std::make_shared<const mmsb::graph::Rule>(std::move(rule)));
    }
    mmsb::graph::Graph graph;
    if (!graph.load({}, rules)) throw std::runtime_error("the shape has a cycle");
    return graph;
}

// The walk, and pages that lie in an array: computed elsewhere, compared, copied.
class Alone final : public Propagator {
public:
    explicit Alone(const Shape& shape)
        : shape_(shape), pages_(shape.parents.size()), graph_(graph_of(shape)) {}
    void update(std::uint64_t value) override {
        std::memcpy(pages_[0].data(), &value, sizeof value);
        mmsb::graph::Propagation propagation(graph_);
        propagation.has(id_of(0), mmsb::graph::Fate::changed);
        std::vector<const Page*> parents;
        Page out;
        propagation.run([&](mmsb::graph::Node at, std::uint8_t) {
            const auto node = static_cast<std::size_t>(mmsb::number(graph_.page_of(at))) - 1;
            parents.clear();
            for (const auto parent : shape_.parents[node]) parents.push_back(&pages_[parent]);
            compute(shape_, node, parents, out);
            if (std::memcmp(out.data(), pages_[node].data(), page_size) == 0)
                return mmsb::graph::Fate::unchanged;
            pages_[node] = out;
            return mmsb::graph::Fate::changed;
        });
    }
    Page read(std::size_t node) override { return pages_[node]; }

private:
    Shape shape_;
    std::vector<Page> pages_;
    mmsb::graph::Graph graph_;
};

// The same, but of a page only what its parents' changes can reach is kept, computed in place, and
// compared.
class AloneByStretches final : public Propagator {
public:
    explicit AloneByStretches(const Shape& shape)
        : shape_(shape),
          pages_(shape.parents.size()),
          nodes_(shape.parents.size()),
          graph_(graph_of(shape)) {
        for (std::size_t node = 0; node != nodes_.size(); ++node) {
            nodes_[node].page = &pages_[node];
            for (const auto parent : shape.parents[node]) {
                nodes_[node].parents.push_back(&pages_[parent]);
                nodes_[node].bytes.emplace_back(pages_[parent]);
            }
        }
    }
    void update(std::uint64_t value) override {
        ++update_;
        std::memcpy(pages_[0].data(), &value, sizeof value);
        nodes_[0].changed.assign(1, {0, sizeof value});
        nodes_[0].changed_in = update_;
        mmsb::graph::Propagation propagation(graph_);
        propagation.has(id_of(0), mmsb::graph::Fate::changed);
        propagation.run([&](mmsb::graph::Node at, std::uint8_t) {
            return visit(static_cast<std::size_t>(mmsb::number(graph_.page_of(at))) - 1);
        });
    }
    Page read(std::size_t node) override { return pages_[node]; }

private:
    struct Node {
        Page* page = nullptr;
        std::vector<const Page*> parents{};
        std::vector<std::span<const std::byte>> bytes{};  // of the parents
        std::vector<mmsb::ByteRange> changed{};           // in that update
        std::uint64_t changed_in = 0;
        bool computed = false;
    };

    mmsb::graph::Fate visit(std::size_t at) {
        auto& node = nodes_[at];
        ranges_.resize(node.parents.size());
        for (std::size_t i = 0; i != node.parents.size(); ++i) {
            const auto& from = nodes_[shape_.parents[at][i]];
            ranges_[i] = !node.computed               ? std::span(&whole, 1)
                         : from.changed_in == update_ ? std::span(from.changed)
                                                      : std::span<mmsb::ByteRange>();
        }
        auto& page = *node.page;
        const mmsb::graph::Call call{.parents = node.bytes, .changed = ranges_, .out = page};
        if (!mmsb::graph::reached_ranges(mmsb::Locality::lane_wise, call, reached_))
            throw std::logic_error("pages of one size have the same lanes");
        for (const auto& [offset, size] : reached_)
            std::memcpy(before_.data() + offset, page.data() + offset, size);
        compute_changed(shape_, at, node.parents, ranges_[0], page);
        mmsb::delta::changed_ranges(before_, page, reached_, node.changed);
        node.computed = true;
        if (node.changed.empty()) return mmsb::graph::Fate::unchanged;
        node.changed_in = update_;
        return mmsb::graph::Fate::changed;
    }

    Shape shape_;
    std::vector<Page> pages_;
    std::vector<Node> nodes_;
    mmsb::graph::Graph graph_;
    std::uint64_t update_ = 0;
    std::vector<std::span<const mmsb::ByteRange>> ranges_{};
    std::vector<mmsb::ByteRange> reached_{};
    Page before_{};
};

class WholeCommit final : public Propagator {
public:
    WholeCommit(const Shape& shape, const std::string& folder, Reach reach)
        : shape_(shape), bus_(mmsb::start({.path = folder, .checkpoint_interval = {}})) {
        const auto recompute = [this, reach](mmsb::Recompute& r) {
            std::uint64_t node = 0;
            std::memcpy(&node, r.arguments().data(), sizeof node);
            compute_node(shape_, reach, node, r);
        };
        bus_.register_recompute("bench.node/1", recompute, {.locality = locality_of(reach)});
        bus_.transact([&](mmsb::Transaction& tx) {
            pages_.clear();
            for (std::size_t node = 0; node < shape.parents.size(); ++node) {
                pages_.push_back(tx.create_page(page_size));
                if (shape.parents[node].empty()) continue;
                std::vector<mmsb::Page> parents;
                for (const auto parent : shape.parents[node]) parents.push_back(pages_[parent]);
                const std::uint64_t number = node;
                tx.derive(
                    pages_.back(), parents,
                    mmsb::formula::call("bench.node/1", std::as_bytes(std::span(&number, 1))));
            }
        });
        for (auto& page : pages_) page = bus_.page(page.id());
    }
    ~WholeCommit() override {
        const auto path = bus_.config().path;
        mmsb::stop(std::move(bus_));
        mmsb::remove_bus(path);
    }
    WholeCommit(const WholeCommit&) = delete;
    WholeCommit& operator=(const WholeCommit&) = delete;
    void update(std::uint64_t value) override {
        pages_[0].write(0, std::as_bytes(std::span(&value, 1)));
    }
    Page read(std::size_t node) override {
        Page page;
        pages_[node].read_into(page);
        return page;
    }

private:
    Shape shape_;
    mmsb::State bus_;
    std::vector<mmsb::Page> pages_{};
};

// The source is a page of a bus, all others are unlogged; those that nothing depends on are read.
class Unlogged final : public Propagator {
public:
    Unlogged(const Shape& shape, const std::string& folder, Reach reach)
        : shape_(shape), bus_(mmsb::start({.path = folder, .checkpoint_interval = {}})) {
        const auto nodes = shape.parents.size();
        std::vector<bool> reached(nodes), has_child(nodes);
        reached[0] = true;
        for (std::size_t node = 0; node < nodes; ++node) {
            if (shape.parents[node].empty()) {
                sources_.push_back(bus_.create_page(page_size));
                pages_.emplace_back(sources_.back());
                continue;
            }
            std::vector<mmsb::AnyPage> parents;
            for (const auto parent : shape.parents[node]) {
                parents.push_back(pages_[parent]);
                has_child[parent] = true;
                if (reached[parent]) reached[node] = true;
            }
            pages_.emplace_back(bus_.graph().derive_unlogged(
                page_size, parents,
                [this, node, reach](mmsb::Recompute& r) { compute_node(shape_, reach, node, r); },
                locality_of(reach)));
        }
        for (std::size_t node = 0; node < nodes; ++node)
            if (reached[node] && !has_child[node])
                shown_.push_back(std::get<mmsb::UnloggedPage>(pages_[node]));
    }
    ~Unlogged() override {
        const auto path = bus_.config().path;
        mmsb::stop(std::move(bus_));
        mmsb::remove_bus(path);
    }
    Unlogged(const Unlogged&) = delete;
    Unlogged& operator=(const Unlogged&) = delete;
    void update(std::uint64_t value) override {
        sources_[0].write(0, std::as_bytes(std::span(&value, 1)));
        Page page;
        for (const auto& shown : shown_) shown.read_into(page);
    }
    Page read(std::size_t node) override {
        Page page;
        if (const auto* logged = std::get_if<mmsb::Page>(&pages_[node]))
            logged->read_into(page);
        else
            std::get<mmsb::UnloggedPage>(pages_[node]).read_into(page);
        return page;
    }

private:
    Shape shape_;
    mmsb::State bus_;
    std::vector<mmsb::Page> sources_{};
    std::vector<mmsb::AnyPage> pages_{};
    std::vector<mmsb::UnloggedPage> shown_{};
};

}  // namespace

std::unique_ptr<Propagator> propagation_alone(const Shape& shape, Reach reach) {
    if (reach == Reach::page) return std::make_unique<Alone>(shape);
    return std::make_unique<AloneByStretches>(shape);
}
std::unique_ptr<Propagator> unlogged(const Shape& shape, const std::string& folder, Reach reach) {
    return std::make_unique<Unlogged>(shape, folder, reach);
}
std::unique_ptr<Propagator> whole_commit(const Shape& shape, const std::string& folder,
                                         Reach reach) {
    return std::make_unique<WholeCommit>(shape, folder, reach);
}

}  // namespace bench
